"""Grants at each level: what is opened works, what is not stays shut, and nothing that was written is left."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from sandbox_bench import Bench, at_all, at_held, at_strong, bench, root

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Outcome
from consilience.core.ports import Grants, LoadedProblem
from consilience.testing.trivial import artifact, command_problem, openevolve_problem, request, split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.executors.grants import grant, with_grants
from consilience.trials.sandbox.probe import strongest_sandbox

__all__ = ["bench", "root"]

sandbox = functools.cache(strongest_sandbox)
READS = """
import os
from pathlib import Path
for name in ({home!r}, str(Path.home())):
    print(Path(name, ".cache/hub/weights").read_text())
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="home-") as folder:
        home = Path(folder).resolve()
        (home / ".cache" / "hub").mkdir(parents=True)
        (home / ".cache" / "hub" / "weights").write_text("12")
        (home / ".cache" / "other").write_text("secret")
        home.chmod(0o755)
        monkeypatch.setenv("HOME", str(home))
        yield home


def granted(loaded: LoadedProblem, grants: Grants, **environment: str) -> LoadedProblem:
    problem = structs.replace(loaded.problem, environment=environment)
    return structs.replace(loaded, problem=problem, grants=grants)


def at(bench: Bench, code: str, loaded: LoadedProblem, *, may_fork: bool = False) -> tuple[str, str]:
    environment = {"HOME": str(bench.scratch), "TMPDIR": str(bench.scratch)}
    plain = bench.confinement(code, may_fork=may_fork, environment=environment)
    done = bench.finish(grant(plain, loaded, bench.sandbox.level))
    return done.out, done.err


@at_all
@pytest.mark.parametrize("may_fork", [False, True])
def test_a_granted_cache_is_found_by_both_of_its_names(bench: Bench, home: Path, may_fork: bool) -> None:
    loaded = granted(command_problem(), Grants(readable=(f"{home}/.cache/hub",)))
    out, err = at(bench, READS.format(home=str(home)), loaded, may_fork=may_fork)
    assert out.split() == ["12", "12"], err


@at_held
def test_what_is_not_granted_is_not_there(bench: Bench, home: Path) -> None:
    code = READS.format(home=str(home))
    assert at(bench, code, command_problem())[0] == ""
    loaded = granted(command_problem(), Grants(readable=(f"{home}/.cache/hub",)))
    assert "secret" not in at(bench, f"print(open('{home}/.cache/other').read())", loaded)[0]
    _out, err = at(bench, f"open('{home}/.cache/hub/weights', 'w').write('x')", loaded)
    assert "Error" in err
    assert (home / ".cache" / "hub" / "weights").read_text() == "12"


@at_all
def test_variables_reach_the_program_and_what_it_starts(bench: Bench) -> None:
    loaded = granted(command_problem(), Grants(), COLOUR="red=blue", PYTHONPATH="lib")
    (bench.work / "lib").mkdir()
    (bench.work / "lib" / "granted_module.py").write_text("VALUE = 7\n")
    code = "import os, granted_module\nprint(os.environ['COLOUR'], granted_module.VALUE)\n"
    assert at(bench, code, loaded)[0].split() == ["red=blue", "7"]
    code = "import subprocess\nprint(subprocess.check_output('echo $COLOUR', shell=True, text=True))"
    assert at(bench, code, loaded, may_fork=True)[0].split() == ["red=blue"]


@at_held
def test_a_search_path_is_not_obeyed_before_the_limits_are_in_force(bench: Bench) -> None:
    """A candidate that could shadow a module which the launcher imports would run unconfined."""
    trap = "raise SystemExit('shadowed')\n"
    for name in ("resource", "ctypes", "struct", "socket"):
        (bench.work / f"{name}.py").write_text(trap)
    loaded = granted(command_problem(), Grants(), PYTHONPATH=".", LD_LIBRARY_PATH=".")
    out, err = at(bench, "print('reached')", loaded)
    assert (out.strip(), err) == ("reached", "")


@at_strong
def test_a_scratch_place_is_empty_writable_and_thrown_away(bench: Bench, home: Path) -> None:
    cache = home / ".cache"
    loaded = granted(command_problem(), Grants(scratch=(str(cache), "/srv/never/made"), scratch_mb=3))
    code = f"""
import os, shutil
print(os.listdir({str(cache)!r}), os.listdir("/srv/never/made"))
open({str(cache / "new")!r}, "w").write("x")
open("/srv/never/made/new", "w").write("x")
print(shutil.disk_usage("/srv/never/made").total >> 20)
"""
    out, err = at(bench, code, loaded)
    assert out.split("\n")[:2] == ["[] []", "3"], err
    assert sorted(path.name for path in cache.iterdir()) == ["hub", "other"]
    assert not Path("/srv/never").exists()


@at_strong
def test_scratch_in_a_readable_place(bench: Bench, home: Path) -> None:
    (home / ".cache" / "hub" / "locks").mkdir()
    hub = f"{home}/.cache/hub"
    loaded = granted(command_problem(), Grants(readable=(hub,), scratch=(f"{hub}/locks",)))
    code = f"print(open('{hub}/weights').read())\nopen('{hub}/locks/a', 'w').write('x')\nprint('locked')"
    assert at(bench, code, loaded)[0].split() == ["12", "locked"]
    assert list(Path(hub, "locks").iterdir()) == []


@at_all
def test_scratch_below_the_home_is_in_the_trials_own(bench: Bench, home: Path) -> None:
    loaded = granted(command_problem(), Grants(scratch=(f"{home}/.cache/torch",)))
    code = """
from pathlib import Path
place = Path.home() / ".cache/torch/kernels"
place.mkdir(parents=True)
(place / "a").write_text("x")
print("written")
"""
    assert at(bench, code, loaded)[0].strip() == "written"
    assert not (home / ".cache" / "torch").exists()


@pytest.mark.parametrize("bench", ["restricted"], indirect=True)
def test_other_scratch_needs_mounts(bench: Bench) -> None:
    loaded = granted(command_problem(), Grants(scratch=("/srv/never/made",)))
    with pytest.raises(EnvironmentLacksError, match="mounts nothing"):
        at(bench, "", loaded)


def test_what_is_granted_has_to_be_there(home: Path) -> None:
    held = sandbox(sys.executable)
    with pytest.raises(EnvironmentLacksError, match="nowhere, which does not exist"):
        with_grants(held, granted(command_problem(), Grants(readable=(f"{home}/nowhere",))))
    inside = Grants(readable=(f"{home}/.cache",), scratch=(f"{home}/.cache/absent",))
    with pytest.raises(EnvironmentLacksError, match="read-only"):
        with_grants(held, granted(command_problem(), inside))
    assert with_grants(held, command_problem()) is held


def run(loaded: LoadedProblem, program: str, tmp_path: Path) -> Outcome:
    executor = make_executor(loaded, sandbox(loaded.interpreter or sys.executable), tmp_path / "work")
    try:
        return executor.run(request(artifact(program)))
    finally:
        executor.close()


PROGRAM = """
import os
from pathlib import Path

def run(seed):
    return float((Path.home() / ".cache/hub/weights").read_text()) + float(os.environ["EXTRA"])
"""


@pytest.mark.parametrize("kind", ["split", "openevolve", "command"])
def test_every_kind_of_problem_has_its_grants(kind: str, home: Path, tmp_path: Path) -> None:
    loaded = {"split": split_problem, "openevolve": openevolve_problem, "command": command_problem}[kind]()
    program = f"{PROGRAM}\nprint('score:', run(1))" if kind == "command" else PROGRAM
    assert run(loaded, program, tmp_path).failure is not None
    outcome = run(granted(loaded, Grants(readable=(f"{home}/.cache/hub",)), EXTRA="0.5"), program, tmp_path)
    assert outcome.metrics == {loaded.problem.objective.metric: 12.5}, outcome


def test_a_trusted_evaluator_has_them_too(home: Path, tmp_path: Path) -> None:
    evaluator = f"{PROGRAM}\ndef evaluate(candidate, seed):\n    return run(seed)\n"
    loaded = granted(split_problem(evaluator), Grants(readable=(f"{home}/.cache/hub",)), EXTRA="1")
    assert run(loaded, "", tmp_path).metrics == {"score": 13.0}


def test_a_virtual_environment_with_a_package_that_ours_lacks(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "only_there").mkdir()
    (packages / "only_there" / "__init__.py").write_text("VALUE = 4\n")
    (tmp_path / "by_path").mkdir()
    (tmp_path / "by_path" / "also_there.py").write_text("VALUE = 5\n")
    (packages / "also.pth").write_text(f"{tmp_path}/by_path\n")
    program = "import only_there\n\ndef run(seed):\n    return only_there.VALUE\n"
    for loaded in (split_problem(), openevolve_problem()):
        assert run(loaded, program, tmp_path).failure is not None
        inside = structs.replace(loaded, interpreter=str(venv / "bin" / "python"))
        assert list(run(inside, program, tmp_path).metrics.values()) == [4.0]
    program = program.replace("only_there", "also_there")
    assert run(inside, program, tmp_path).failure is not None
    opened = granted(inside, Grants(readable=(f"{tmp_path}/by_path",)))
    assert list(run(opened, program, tmp_path).metrics.values()) == [5.0]
