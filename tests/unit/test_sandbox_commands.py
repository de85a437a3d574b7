from __future__ import annotations

import resource
from pathlib import Path

import pytest

from consilience.core.errors import IsolationError
from consilience.core.problem import Limits
from consilience.trials.sandbox.bubblewrap import bubblewrap_arguments
from consilience.trials.sandbox.canaries import Canary
from consilience.trials.sandbox.command import LAUNCHER, Command, parse_command
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.landlock import landlock_rules
from consilience.trials.sandbox.limits import resource_limits, tree_ceiling
from consilience.trials.sandbox.mends import mend_for
from consilience.trials.sandbox.probe import LevelReport, Probe, require_level
from consilience.trials.sandbox.tools import Tools

PYTHON = "/usr/bin/python3"
INTERPRETER = Interpreter(executable=PYTHON, version="3", readable=("/usr",))
LIMITS = Limits(cpu_seconds=1.5, memory_mb=256, output_kb=100)


def confinement(*, may_fork: bool = False) -> Confinement:
    return Confinement(
        argv=(PYTHON, "/trial/program/run.py"),
        work_dir="/trial/program",
        scratch="/trial/scratch",
        scratch_mb=8,
        limits=LIMITS,
        readable=("/trial/program", "/trial/out/given"),
        writable=("/trial/out",),
        environment={"A": "1 2"},
        may_fork=may_fork,
    )


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ((PYTHON, "run.py", "-x"), Command((), "script", ("run.py", "-x"))),
        ((PYTHON, "-I", "-S", "run.py"), Command(("-I", "-S"), "script", ("run.py",))),
        ((PYTHON, "-W", "error", "-Xutf8", "run.py"), Command(("-W", "error", "-Xutf8"), "script", ("run.py",))),
        ((PYTHON, "-s", "-c", "print(1)", "a"), Command(("-s",), "code", ("print(1)", "a"))),
        ((PYTHON, "-m", "pkg", "a"), Command((), "module", ("pkg", "a"))),
        ((PYTHON,), Command(("-I", "-S"), "exec", (PYTHON,))),
        ((PYTHON, "-"), Command(("-I", "-S"), "exec", (PYTHON, "-"))),
        (("/bin/sh", "-c", "true"), Command(("-I", "-S"), "exec", ("/bin/sh", "-c", "true"))),
    ],
)
def test_commands_are_split(argv: tuple[str, ...], expected: Command) -> None:
    assert parse_command(argv, PYTHON) == expected


def test_line_keeps_interpreter_options_before_the_launcher() -> None:
    line = parse_command((PYTHON, "-I", "run.py", "a"), PYTHON).line(PYTHON, ("rlimit=1:2",))
    assert line == (PYTHON, "-I", LAUNCHER, "rlimit=1:2", "--", "script", "run.py", "a")


def test_bubblewrap_is_told_to_isolate_and_names_nothing_else() -> None:
    arguments = list(bubblewrap_arguments(confinement(), INTERPRETER))
    for option in (
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--as-pid-1",
    ):
        assert option in arguments
    assert arguments[arguments.index("--cap-drop") + 1] == "ALL"
    assert "--share-net" not in arguments
    bound = {arguments[i + 1] for i, option in enumerate(arguments) if option in {"--ro-bind", "--bind"}}
    assert bound == {"/usr", LAUNCHER, "/trial/program", "/trial/out", "/trial/out/given"}


def test_deeper_mounts_come_after_what_holds_them() -> None:
    arguments = list(bubblewrap_arguments(confinement(), INTERPRETER))
    assert arguments.index("/trial/out") < arguments.index("/trial/out/given")
    assert arguments.index("/tmp") < arguments.index("/trial/scratch") < arguments.index("--remount-ro")


def test_every_tmpfs_has_a_size() -> None:
    arguments = list(bubblewrap_arguments(confinement(), INTERPRETER))
    places = [i for i, option in enumerate(arguments) if option == "--tmpfs"]
    assert {arguments[i + 1] for i in places} == {"/dev/shm", "/tmp", "/trial/scratch"}
    assert {tuple(arguments[i - 2 : i]) for i in places} == {("--size", str(8 << 20))}


def test_environment_is_exact() -> None:
    arguments = list(bubblewrap_arguments(confinement(), INTERPRETER))
    at = arguments.index("--setenv")
    assert arguments[at + 1 : at + 3] == ["A", "1 2"]
    assert arguments.count("--setenv") == 1


def test_limits_round_up_and_cover_everything() -> None:
    pairs = dict(resource_limits(confinement(), count_tasks=True))
    assert pairs[resource.RLIMIT_CPU] == 2
    assert pairs[resource.RLIMIT_AS] == 256 << 20
    assert pairs[resource.RLIMIT_FSIZE] == 8 << 20
    assert pairs[resource.RLIMIT_CORE] == 0
    assert resource.RLIMIT_NPROC in pairs
    assert resource.RLIMIT_NPROC not in dict(resource_limits(confinement(), count_tasks=False))


def test_only_trees_are_watched() -> None:
    assert tree_ceiling(confinement()) is None
    ceiling = tree_ceiling(confinement(may_fork=True))
    assert ceiling is not None
    assert (ceiling.memory_kb, ceiling.cpu_ms) == (256 * 1024, 1500)


def test_landlock_rules_grant_writing_only_where_named(tmp_path: Path) -> None:
    out, read = tmp_path / "out", tmp_path / "read"
    out.mkdir()
    read.mkdir()
    given = Confinement(
        argv=(PYTHON,), work_dir=str(out), scratch=str(out), limits=LIMITS, readable=(str(read),), writable=(str(out),)
    )
    rules = landlock_rules(given, INTERPRETER)
    write_file = 1 << 1
    writable = {path for path, rights in rules if rights & write_file}
    assert {path for path in writable if not path.startswith("/dev/")} == {str(out)}
    assert (str(read), 0b1101) in rules
    make_device_or_socket = 1 << 6 | 1 << 9 | 1 << 11
    assert not any(rights & make_device_or_socket for _path, rights in rules)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor"),
        ("kernel/unprivileged_userns_clone", "0", "unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "max_user_namespaces=15000"),
        ("user/other", "0", "docker run"),
    ],
)
def test_mend_follows_the_cause(tmp_path: Path, setting: str, value: str, words: str) -> None:
    file = tmp_path / setting
    file.parent.mkdir(parents=True)
    file.write_text(value + "\n")
    assert words in mend_for("strong", Tools(bubblewrap=("/usr/bin/bwrap",)), settings=tmp_path)


def test_mend_for_a_missing_tool() -> None:
    assert "apt-get install bubblewrap" in mend_for("strong", Tools())
    assert "6.12" in mend_for("restricted", Tools(landlock_abi=0))


def test_refusal_names_reason_and_mend() -> None:
    probe = Probe(
        level="restricted",
        interpreter=PYTHON,
        reports=(
            LevelReport(level="strong", reason="bubblewrap is not installed", mend="Install it."),
            LevelReport(level="restricted", canaries=(Canary(name="fork_denied", held=True),)),
        ),
    )
    require_level(probe, "restricted")
    with pytest.raises(IsolationError) as caught:
        require_level(probe, "strong")
    assert "bubblewrap is not installed" in caught.value.message
    assert "Install it." in caught.value.hint
    assert "--unsafe-no-sandbox" in caught.value.hint
