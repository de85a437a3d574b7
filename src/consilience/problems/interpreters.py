"""The interpreter that a problem names: a path, a program on PATH, a virtual environment, uv's or conda's.

Rules:
    1. A virtual environment's Python is a symbolic link that must not be resolved: its own path selects it.
    2. No tool is run to find one, and nothing is installed: a trial has no network, so what is missing is an error
       that says which command makes it.
    3. A pyenv shim is a shell script that would not start in the sandbox: the Python that it stands for is taken.

Data flow: name in problem.toml or ``--interpreter`` -> absolute path of a Python.

Sources: uv's "Project environments" (`.venv` beside pyproject.toml, UV_PROJECT_ENVIRONMENT); conda's
`~/.conda/environments.txt` and CONDA_EXE; pyenv's "Understanding shims" and "Choosing the Python version".
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from consilience.core.errors import ProblemError
from consilience.problems.faults import did_you_mean

_CONDA = "conda:"
_UV = ("uv run", "uv run python")
_PYTHON = Path("bin") / "python"
_CONDA_PLACES = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", ".conda")
_SHIM_BYTES = 2048


def find_interpreter(root: Path, name: str, where: tuple[str, str]) -> str:
    """Return the absolute path of an interpreter, or "" for the one that runs us.

    Args:
        root: the folder that relative paths start from.
        name: a path, a program on PATH, ``uv run``, or ``conda:NAME``.
        where: file and key, for the error.

    Raises:
        ProblemError: no such program or environment, or it cannot be executed.
    """
    if not name:
        return ""
    if " ".join(name.split()) in _UV:
        return _uv(root, where)
    if name.startswith(_CONDA):
        return _conda(name.removeprefix(_CONDA).strip(), where)
    path = os.path.abspath(root / name) if "/" in name else shutil.which(name)  # noqa: PTH100 - resolve() follows links
    if path is None or not _runs(Path(path)):
        hint = "give the path of a Python program, such as .venv/bin/python, or: uv run, conda:NAME"
        raise ProblemError(*where, found=f"{name!r}, which cannot be run", expected="an interpreter", hint=hint)
    return _behind_shim(root, Path(path), where)


def venv_interpreter(root: Path) -> str:
    """Return the Python of the folder's own `.venv`, or ""."""
    path = root / ".venv" / _PYTHON
    return str(path.absolute()) if _runs(path) else ""


def _runs(path: Path) -> bool:
    return os.access(path, os.X_OK) and path.is_file()


def _uv(root: Path, where: tuple[str, str]) -> str:
    """Return the Python of the uv project that the folder is in: of a workspace's root, where it is a member."""
    stated = os.environ.get("UV_PROJECT_ENVIRONMENT", "")
    projects = [folder for folder in (root, *root.parents) if (folder / "pyproject.toml").is_file()]
    for project in projects:
        path = project / (stated or ".venv") / _PYTHON
        if _runs(path):
            return str(path.absolute())
    if not projects:
        hint = "make it a project with: uv init; or name the Python by its path"
        raise ProblemError(*where, found=f"no pyproject.toml in {root} or above", expected="a uv project", hint=hint)
    hint = f"run: uv sync --project {projects[0]} (a trial has no network, so it cannot do that itself)"
    found = f"'uv run' in {projects[0]}, which has no environment yet"
    raise ProblemError(*where, found=found, expected=f"{projects[0]}/{stated or '.venv'}", hint=hint)


def _conda(name: str, where: tuple[str, str]) -> str:
    prefixes = list(dict.fromkeys(_conda_prefixes()))
    wanted = [Path(name).expanduser()] if "/" in name else [path for path in prefixes if _conda_name(path) == name]
    for prefix in wanted:
        if _runs(prefix / _PYTHON):
            return str(prefix / _PYTHON)
    known = sorted({_conda_name(prefix) for prefix in prefixes if _runs(prefix / _PYTHON)})
    listed = ", ".join(known) or "none"
    hint = did_you_mean(name, known) or f"make it with: conda create -n {name} python; known: {listed}"
    found = f"conda environment {name!r}, which has no {_PYTHON}" if wanted else f"no conda environment {name!r}"
    raise ProblemError(*where, found=found, expected="the name or path of a conda environment", hint=hint)


def _conda_prefixes() -> Iterator[Path]:
    """Yield the prefixes of all environments that conda, mamba and micromamba would know, bases included."""
    listed = Path.home() / ".conda" / "environments.txt"
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from (Path(line.strip()) for line in lines if line.strip())
    bases = [Path(os.environ[name]).parent.parent for name in ("CONDA_EXE", "MAMBA_EXE") if os.environ.get(name)]
    bases += [Path(os.environ["MAMBA_ROOT_PREFIX"])] if os.environ.get("MAMBA_ROOT_PREFIX") else []
    bases += [place / name for place in (Path.home(), Path("/opt")) for name in (*_CONDA_PLACES, "conda")]
    for base in bases:
        yield base
        envs = base / "envs"
        yield from sorted(envs.iterdir()) if envs.is_dir() else []


def _conda_name(prefix: Path) -> str:
    """Return the name that conda gives a prefix: `base` for an installation, else its folder's."""
    return "base" if (prefix / "condabin").is_dir() else prefix.name


def _behind_shim(root: Path, path: Path, where: tuple[str, str]) -> str:
    """Return the Python that a pyenv shim would start; any other program as it is."""
    if path.parent.name != "shims" or b"pyenv" not in path.read_bytes()[:_SHIM_BYTES]:
        return str(path)
    pyenv = path.parent.parent
    for version in _pyenv_versions(root, pyenv):
        found = _outside(path.name, path.parent) if version == "system" else _pyenv_python(pyenv, version, path.name)
        if found:
            return found
    wanted = ", ".join(_pyenv_versions(root, pyenv)) or "none"
    hint = "install that version with pyenv, or name the Python by its path"
    raise ProblemError(*where, found=f"a pyenv shim for version {wanted}", expected="an installed version", hint=hint)


def _pyenv_versions(root: Path, pyenv: Path) -> list[str]:
    """Return the versions in force, in pyenv's order: variable, `.python-version` upwards, the global file."""
    if stated := os.environ.get("PYENV_VERSION"):
        return stated.split(":")
    files = [*(folder / ".python-version" for folder in (root, *root.parents)), pyenv / "version"]
    chosen = next((file for file in files if file.is_file()), None)
    if chosen is None:
        return ["system"]
    lines = (line.partition("#")[0].strip() for line in chosen.read_text(errors="replace").splitlines())
    return [line for line in lines if line]


def _pyenv_python(pyenv: Path, version: str, program: str) -> str:
    """Return the program of a version; a prefix such as 3.12 means its latest release."""
    exact = pyenv / "versions" / version
    others = sorted((pyenv / "versions").glob(f"{version}.*"), key=lambda each: _release(each.name))
    for prefix in (exact, *reversed(others)):
        if _runs(prefix / "bin" / program):
            return str(prefix / "bin" / program)
    return ""


def _release(name: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", name)]


def _outside(program: str, shims: Path) -> str:
    folders = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each and Path(each) != shims]
    return shutil.which(program, path=os.pathsep.join(folders)) or ""
