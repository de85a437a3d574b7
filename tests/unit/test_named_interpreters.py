"""Interpreters by path, `uv run`, `conda:NAME` and behind pyenv's shims, in made-up layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from consilience.core.errors import ProblemError
from consilience.problems.interpreters import find_interpreter

WHERE = ("problem.toml", "evaluator.interpreter")
VARIABLES = ("UV_PROJECT_ENVIRONMENT", "CONDA_EXE", "MAMBA_EXE", "MAMBA_ROOT_PREFIX", "PYENV_VERSION")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def root(home: Path) -> Path:
    root = home / "work" / "member"
    root.mkdir(parents=True)
    return root


def program(path: Path, text: str = "#!/bin/sh\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def refused(root: Path, name: str) -> ProblemError:
    with pytest.raises(ProblemError) as raised:
        find_interpreter(root, name, WHERE)
    assert raised.value.key == "evaluator.interpreter"
    return raised.value


def test_none_is_the_one_that_runs_us(root: Path) -> None:
    assert find_interpreter(root, "", WHERE) == ""


def test_a_virtual_environments_link_is_kept(root: Path) -> None:
    base = program(root / "base" / "python")
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(base)
    assert find_interpreter(root, ".venv/bin/python", WHERE) == str(root / ".venv" / "bin" / "python")
    assert find_interpreter(Path("/"), base, WHERE) == base


def test_what_cannot_be_run(root: Path) -> None:
    (root / "python").write_text("not executable")
    assert "cannot be run" in refused(root, "./python").message
    assert "cannot be run" in refused(root, ".venv/bin/python").message
    assert "conda:NAME" in refused(root, "no-such-program").hint


def test_uv_takes_the_projects_own_environment(root: Path) -> None:
    (root / "pyproject.toml").write_text("")
    found = program(root / ".venv" / "bin" / "python")
    assert find_interpreter(root, "uv run", WHERE) == found
    assert find_interpreter(root, "uv  run python", WHERE) == found


def test_uv_takes_the_workspaces_environment(root: Path) -> None:
    (root / "pyproject.toml").write_text("")
    (root.parent / "pyproject.toml").write_text("")
    found = program(root.parent / ".venv" / "bin" / "python")
    assert find_interpreter(root, "uv run", WHERE) == found


def test_uv_with_an_environment_of_another_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "pyproject.toml").write_text("")
    found = program(root / "env" / "bin" / "python")
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "env")
    assert find_interpreter(root, "uv run", WHERE) == found


def test_uv_that_was_not_synced_says_so(root: Path) -> None:
    assert "no pyproject.toml" in refused(root, "uv run").message
    (root / "pyproject.toml").write_text("")
    error = refused(root, "uv run")
    assert "no environment yet" in error.message
    assert f"uv sync --project {root}" in error.hint


def test_conda_by_name_from_its_list(home: Path, root: Path) -> None:
    found = program(home / "elsewhere" / "torch" / "bin" / "python")
    (home / ".conda").mkdir()
    (home / ".conda" / "environments.txt").write_text(f"/gone/torch\n{home}/elsewhere/torch\n")
    assert find_interpreter(root, "conda:torch", WHERE) == found
    assert find_interpreter(root, f"conda:{home}/elsewhere/torch", WHERE) == found


@pytest.mark.parametrize("variable", ["CONDA_EXE", "MAMBA_ROOT_PREFIX", ""])
def test_conda_by_name_from_its_installation(
    home: Path, root: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    base = home / ("miniforge3" if not variable else "apps/conda")
    base_python = program(base / "bin" / "python")
    found = program(base / "envs" / "torch" / "bin" / "python")
    (base / "condabin").mkdir()
    if variable:
        monkeypatch.setenv(variable, str(base / "bin" / "conda" if variable == "CONDA_EXE" else base))
    assert find_interpreter(root, "conda:torch", WHERE) == found
    assert find_interpreter(root, "conda:base", WHERE) == base_python


def test_conda_that_is_not_there_names_what_is(home: Path, root: Path) -> None:
    program(home / "miniconda3" / "envs" / "torch" / "bin" / "python")
    (home / "miniconda3" / "envs" / "empty").mkdir()
    assert "did you mean 'torch'" in refused(root, "conda:torhc").hint
    error = refused(root, "conda:vision")
    assert "conda create -n vision" in error.hint
    assert "known: torch" in error.hint
    assert "has no bin/python" in refused(root, "conda:empty").message


@pytest.fixture
def pyenv(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pyenv = home / ".pyenv"
    program(pyenv / "shims" / "python", '#!/usr/bin/env bash\nexec "/x/libexec/pyenv" exec "$program" "$@"\n')
    for version in ("3.11.7", "3.12.2", "3.12.10"):
        program(pyenv / "versions" / version / "bin" / "python")
    monkeypatch.setenv("PATH", f"{pyenv}/shims:/usr/bin:/bin")
    return pyenv


def test_a_shim_stands_for_the_version_in_force(pyenv: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pyenv / "version").write_text("3.11.7\n")
    assert find_interpreter(root, "python", WHERE) == f"{pyenv}/versions/3.11.7/bin/python"
    (root.parent / ".python-version").write_text("# ours\n3.12\n")
    assert find_interpreter(root, "python", WHERE) == f"{pyenv}/versions/3.12.10/bin/python"
    monkeypatch.setenv("PYENV_VERSION", "3.12.2")
    assert find_interpreter(root, "python", WHERE) == f"{pyenv}/versions/3.12.2/bin/python"


def test_a_shim_of_the_system(pyenv: Path, root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = program(home / "bin" / "python")
    monkeypatch.setenv("PATH", f"{pyenv}/shims:{home}/bin")
    assert find_interpreter(root, "python", WHERE) == found


def test_a_shim_without_its_version(pyenv: Path, root: Path) -> None:
    (pyenv / "version").write_text("3.9\n")
    assert "version 3.9" in refused(root, "python").message
