"""From denied paths and calls to the lines that would allow them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from msgspec import structs

from consilience.core.outcome import Failure, Isolation, Outcome
from consilience.core.ports import Grants, LoadedProblem
from consilience.node.denied import denied
from consilience.node.findings import Finding
from consilience.node.grouping import Group, group_folders, group_reads
from consilience.testing.trivial import command_problem
from consilience.trials.observing.calls import call_name
from consilience.trials.observing.denials import Denials, Ledger, is_quiet
from consilience.trials.observing.printed import printed_denials, wanted_variables
from consilience.trials.sandbox.command import LAUNCHER

HOME = Path("/home/u")
STRONG = Isolation(level="strong", domain="command")
RUNS = Outcome(metrics={"score": 1.0}, isolation=STRONG)


def allowed(path: str) -> bool:
    return path not in {"/", "/home/u", "/data", "/opt"}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/home/u/.cache/hf/hub/a", "/home/u/.cache/hf/hub/b/c"], [Group("/home/u/.cache/hf", 2)]),
        (["/home/u/.cache", "/home/u/.cache/hf", "/home/u/.cache/hf/x"], [Group("/home/u/.cache/hf", 1)]),
        (["/home/u/.config/app/settings"], [Group("/home/u/.config/app", 1)]),
        (["/home/u/.keras/x/y"], [Group("/home/u/.keras", 1)]),
        (["/home/u/sets/one/a", "/home/u/sets/two/b"], [Group("/home/u/sets", 2)]),
        (["/data/corpus/x/a", "/data/corpus/y/b"], [Group("/data/corpus", 2)]),
        (["/data/corpus/x/a", "/data/corpus/x/b"], [Group("/data/corpus/x", 2)]),
        (["/data/corpus/a", "/data/other/b", "/data/other/c"], [Group("/data/other", 2), Group("/data/corpus", 1)]),
        (["/data/table.csv"], [Group("/data/table.csv", 1)]),
        (["/data", "/data/corpus"], [Group("/data/corpus", 1)]),
        (["/opt"], [Group("/opt", 1)]),
        ([], []),
    ],
)
def test_reads_are_grouped_by_what_one_would_grant(paths: list[str], expected: list[Group]) -> None:
    assert list(group_reads(paths, (), HOME, allowed)) == expected


def test_the_way_to_what_is_written_needs_no_reading() -> None:
    assert group_reads(["/data", "/data/out"], ["/data/out"], HOME, allowed) == ()


def test_only_the_outermost_folders_are_named() -> None:
    assert group_folders(["/a/b/c", "/a/b", "/a/bc", "/a/b"]) == ("/a/b", "/a/bc")


@pytest.mark.parametrize(
    ("path", "quiet"),
    [
        ("/etc/ld.so.preload", True),
        ("/etc/ssl/openssl.cnf", True),
        ("/proc/meminfo", True),
        ("/dev/urandom", True),
        ("/dev/nvidia0", False),
        ("/home/u", True),
        ("/etc/python3.11/sitecustomize.py", True),
        ("/home/u/.bashrc", True),
        ("/home/u/.cache/hf", False),
        ("/data/module.pyc", True),
        (LAUNCHER, True),
        ("/etc/myapp/settings", False),
    ],
)
def test_what_libraries_look_for_by_habit_is_left_out(path: str, quiet: bool) -> None:
    assert is_quiet(path, HOME) == quiet


def test_calls_have_names() -> None:
    assert call_name(41, "x86_64") == "socket"
    assert call_name(198, "aarch64") == "socket"
    assert call_name(257, "x86_64") == "openat"
    assert call_name(9999, "x86_64") == "call 9999"


def test_a_program_that_was_found_at_last_is_not_missing() -> None:
    ledger = Ledger(HOME)
    ledger.note_start("/usr/local/bin/tool", seen=False)
    ledger.note_start("/usr/bin/tool", seen=True)
    ledger.note_start("/usr/local/bin/absent-tool", seen=False)
    assert ledger.denials().missing == ("absent-tool",)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / ".cache" / "hub").mkdir(parents=True)
    (home / ".cache" / "hub" / "weights").write_text("w")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COLOUR", 'a "b"')
    return home


@pytest.fixture
def loaded(home: Path, tmp_path: Path) -> LoadedProblem:
    (tmp_path / "problem").mkdir()
    (tmp_path / "problem" / "problem.toml").write_text("")
    return structs.replace(command_problem(), root=tmp_path / "problem")


def findings(loaded: LoadedProblem, denials: Denials, outcome: Outcome = RUNS) -> list[Finding]:
    return list(denied(loaded, outcome, denials))


def failed(log: str) -> Outcome:
    return Outcome(failure=Failure(reason="crash", message="x"), log=log, isolation=STRONG)


def test_nothing_denied_says_nothing(loaded: LoadedProblem) -> None:
    assert findings(loaded, Denials()) == []


def test_each_denied_thing_has_its_line(loaded: LoadedProblem, home: Path, tmp_path: Path) -> None:
    denials = Denials(
        read=(f"{home}/.cache/hub/weights", "/dev/nvidia0"),
        made=(f"{tmp_path}/out",),
        executed=(f"{tmp_path}/tool/bin/run",),
        calls={"socket (IPv4)": 2, "mbind": 9, "memfd_create": 1, "clone": 1, "socket (local)": 1},
    )
    log = "File x, in y\n  os.environ['COLOUR']\nKeyError: 'COLOUR'\n"
    found = findings(loaded, denials, failed(log))
    lines = [(finding.found, finding.mend) for finding in found if finding.name == "denied"]
    assert lines == [
        ("~/.cache/hub (read)", 'add to problem.toml: [sandbox] readable = ["~/.cache/hub"]'),
        (f"{tmp_path}/out (written)", f'add to problem.toml: [sandbox] scratch = ["{tmp_path}/out"]'),
        (f"{tmp_path}/tool/bin/run (started)", f'add to problem.toml: [sandbox] readable = ["{tmp_path}/tool"]'),
        ("/dev/nvidia0 (a device)", "add to problem.toml: [sandbox] gpus = 1"),
        ("environment variable COLOUR", 'add to problem.toml: [sandbox] environment = { COLOUR = "a \\"b\\"" }'),
        (
            "socket (IPv4) (2 times)",
            "the sandbox has no network: fetch beforehand, and grant the folder as readable",
        ),
        ("system call memfd_create", "no line allows it: every sandbox refuses it"),
        (
            "starting a process (clone)",
            "a called candidate starts no process: make it a whole program (kind program or command)",
        ),
        ("socket (local)", "the sandbox has no network: fetch beforehand, and grant the folder as readable"),
    ]
    head, table = found[-1].mend.split("\n", 1)
    assert head == "in problem.toml, to allow all of it:"
    assert tomllib.loads(table) == {
        "sandbox": {
            "readable": ["~/.cache/hub", f"{tmp_path}/tool"],
            "scratch": [f"{tmp_path}/out"],
            "environment": {"COLOUR": 'a "b"'},
            "gpus": 1,
        }
    }


def test_the_whole_table_keeps_what_is_granted(loaded: LoadedProblem, home: Path) -> None:
    grants = Grants(readable=("/data/x",), scratch=("/data/y",), scratch_mb=7)
    problem = structs.replace(loaded.problem, environment={"A": "1"})
    granted = structs.replace(loaded, grants=grants, problem=problem)
    found = findings(granted, Denials(read=(f"{home}/.cache/hub/weights",)))
    assert tomllib.loads(found[-1].mend.split("\n", 1)[1])["sandbox"] == {
        "readable": ["/data/x", "~/.cache/hub"],
        "scratch": ["/data/y"],
        "scratch_mb": 7,
        "environment": {"A": "1"},
    }


def test_what_nobody_may_open_has_no_line(loaded: LoadedProblem, home: Path) -> None:
    secrets = Denials(read=("/etc/shadow", f"{loaded.root}/.consilience/journal.db", f"{home}/.ssh/id"))
    (home / ".ssh").mkdir()
    found = findings(loaded, secrets)
    assert {finding.name for finding in found} == {"denied"}
    assert all("no line allows it" in finding.mend for finding in found)


def test_what_is_read_cannot_be_scratch(loaded: LoadedProblem, home: Path) -> None:
    hub = f"{home}/.cache/hub"
    granted = structs.replace(loaded, grants=Grants(readable=(hub,)))
    (finding,) = findings(granted, Denials(written=(hub,)))
    assert "cannot be scratch" in finding.mend


def test_scratch_in_a_read_only_place_has_to_be_there(loaded: LoadedProblem, home: Path) -> None:
    hub = f"{home}/.cache/hub"
    granted = structs.replace(loaded, grants=Grants(readable=(hub,)))
    (finding, _table) = findings(granted, Denials(made=(f"{hub}/locks/one",)))
    assert finding.mend == (
        "mkdir -p ~/.cache/hub/locks/one (its place is read-only), then "
        'add to problem.toml: [sandbox] scratch = ["~/.cache/hub/locks/one"]'
    )
    Path(hub, "locks").mkdir()
    (finding, _table) = findings(granted, Denials(made=(f"{hub}/locks/one",)))
    assert finding.mend == 'add to problem.toml: [sandbox] scratch = ["~/.cache/hub/locks"]'


def test_what_is_installed_is_never_scratch(loaded: LoadedProblem) -> None:
    (finding,) = findings(loaded, Denials(written=("/usr/lib/python3/dist-packages",)))
    assert "read-only" in finding.mend


def test_a_secret_variable_has_no_line(loaded: LoadedProblem) -> None:
    (finding,) = findings(loaded, Denials(), failed("<frozen os>\nKeyError: 'HF_TOKEN'\n"))
    assert "no line gives a secret" in finding.mend


def test_a_key_error_of_a_dictionary_is_no_variable() -> None:
    assert wanted_variables("x = table['A']\nKeyError: 'A'\n") == ()
    assert wanted_variables("os.environ['A']\nKeyError: 'A'\n") == ("A",)
    assert wanted_variables("KeyError: 'getpwuid(): uid not found: 0'\n") == ("USER",)


def test_a_module_that_is_nowhere(loaded: LoadedProblem) -> None:
    (finding,) = findings(loaded, Denials(), failed("ModuleNotFoundError: No module named 'no_such_package.sub'\n"))
    assert finding.found == "module no_such_package"
    assert "it is not installed for" in finding.mend


def test_unwatched_trials_are_known_by_their_log(loaded: LoadedProblem, home: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a b").write_text("")
    log = f"""
FileNotFoundError: [Errno 2] No such file or directory: 'trial/scratch/.cache/hub/weights'
Error: ENOENT: no such file or directory, open '{tmp_path}/set/a b'
cat: {tmp_path}/set: Permission denied
FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/at/all'
"""
    denials = printed_denials(log, home)
    assert denials.read == (f"{home}/.cache/hub/weights", f"{tmp_path}/set", f"{tmp_path}/set/a b")
    assert not denials.complete
    found = findings(loaded, Denials(complete=False), failed(log))
    assert "only what the log tells" in found[0].found
    assert [finding.mend for finding in found[1:-1]] == [
        'add to problem.toml: [sandbox] readable = ["~/.cache/hub"]',
        f'add to problem.toml: [sandbox] readable = ["{tmp_path}/set"]',
    ]
