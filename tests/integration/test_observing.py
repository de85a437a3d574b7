"""A watched trial: what it was denied is known, what it may do is what it may always do."""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from consilience.core.outcome import Outcome
from consilience.core.ports import Grants, LoadedProblem
from consilience.core.problem import EvaluatorSpec
from consilience.testing.trivial import (
    LIMITS,
    artifact,
    command_problem,
    loaded,
    openevolve_problem,
    printing_artifact,
    request,
    split_problem,
)
from consilience.trials.executors.factory import make_executor
from consilience.trials.observing.denials import Denials
from consilience.trials.observing.listener import can_ask
from consilience.trials.observing.observer import Observer
from consilience.trials.sandbox.bubblewrap import BubblewrapSandbox
from consilience.trials.sandbox.probe import strongest_sandbox, unsafe_sandbox

sandbox = functools.cache(strongest_sandbox)


@pytest.fixture(autouse=True)
def _needs_a_watch() -> None:
    if sandbox(sys.executable).level != "strong" or not can_ask():
        pytest.skip("only level strong is watched, by Linux 5.6 or later")


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="corpus-", dir="/var/tmp") as folder:
        corpus = Path(folder).resolve()
        (corpus / "sub").mkdir()
        for name in ("a", "b", "sub/c"):
            (corpus / name).write_text("1")
        (corpus / "home" / ".cache" / "hub").mkdir(parents=True)
        (corpus / "home" / ".cache" / "hub" / "weights").write_text("2")
        monkeypatch.setenv("HOME", str(corpus / "home"))
        yield corpus


def watched(problem: LoadedProblem, program: str, tmp_path: Path) -> tuple[Outcome, Denials]:
    observer = Observer()
    executor = make_executor(problem, observer.watch(sandbox(sys.executable)), tmp_path / "work", "fresh")
    try:
        given = artifact(program)
        outcome = executor.run(request(given, limits=structs.replace(LIMITS, wall_seconds=20.0)))
    finally:
        executor.close()
    return outcome, observer.denials()


TRIES = """
import os
from pathlib import Path

def run(seed):
    for attempt in (
        lambda: open("{corpus}/a").read(),
        lambda: os.stat("{corpus}/sub/c"),
        lambda: os.listdir("{corpus}/nowhere"),
        lambda: (Path.home() / ".cache/hub/weights").read_text(),
        lambda: os.makedirs("{corpus}/made/deep"),
        lambda: open("{corpus}/out/of/reach", "w"),
        lambda: open("{corpus}/written", "a"),
        lambda: os.open("b", os.O_RDONLY, dir_fd=os.open("{corpus}", os.O_PATH)),
        lambda: __import__("socket").socket(),
    ):
        try:
            attempt()
        except OSError:
            continue
        raise AssertionError("an attempt succeeded")
    return 1.0
"""


@pytest.mark.parametrize("kind", ["split", "openevolve", "command"])
def test_what_is_denied_is_known(kind: str, corpus: Path, tmp_path: Path) -> None:
    problem = {"split": split_problem, "openevolve": openevolve_problem, "command": command_problem}[kind]()
    program = TRIES.format(corpus=corpus)
    outcome, denials = watched(problem, program + ("\nprint('score:', run(1))" if kind == "command" else ""), tmp_path)
    assert outcome.metrics == {problem.problem.objective.metric: 1.0}
    assert denials.complete
    ours = {str(corpus), f"{corpus}/a", f"{corpus}/sub/c", f"{corpus}/home/.cache/hub/weights"}
    assert {path for path in denials.read if path.startswith(str(corpus))} == ours
    assert denials.made == (f"{corpus}/made",)
    assert str(corpus) in denials.written
    assert denials.calls == {"socket (IPv4)": 1}


def test_what_is_granted_is_not_denied(corpus: Path, tmp_path: Path) -> None:
    grants = Grants(readable=(f"{corpus}/sub", f"{corpus}/home/.cache/hub"), scratch=("/srv/never/made",))
    problem = structs.replace(command_problem(), grants=grants)
    program = f"""
from pathlib import Path
Path("{corpus}/sub/c").read_text()
(Path.home() / ".cache/hub/weights").read_text()
Path("/srv/never/made/x").write_text("x")
Path("mine").mkdir()
Path("mine/file").write_text("x")
Path("/tmp/mine").write_text("x")
print("score: 1")
"""
    outcome, denials = watched(problem, program, tmp_path)
    assert outcome.ok, outcome
    assert denials == Denials()


def test_starting_programs(corpus: Path, tmp_path: Path) -> None:
    (corpus / "tool").write_text("#!/bin/sh\n")
    (corpus / "tool").chmod(0o755)
    program = f"""
import subprocess
subprocess.run(["true"], check=True)
for name in ("no-such-program", "{corpus}/tool"):
    try:
        subprocess.run([name])
    except FileNotFoundError:
        pass
print("score: 1")
"""
    outcome, denials = watched(command_problem(), program, tmp_path)
    assert outcome.ok, outcome
    assert denials.missing == ("no-such-program",)
    assert denials.executed == (f"{corpus}/tool",)


def test_a_called_candidate_starts_nothing(tmp_path: Path) -> None:
    program = """
import os

def run(seed):
    for attempt in (os.fork, lambda: os.execv("/bin/true", ["true"])):
        try:
            attempt()
        except PermissionError:
            continue
        return 0
    return 1
"""
    outcome, denials = watched(split_problem(), program, tmp_path)
    assert outcome.metrics == {"score": 1.0}
    assert set(denials.calls) in ({"clone", "execve"}, {"fork", "execve"})


def test_a_watched_trial_may_do_no_more_than_another(tmp_path: Path) -> None:
    """Each refused call is refused with the same error."""
    program = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
found = []
for number in (41, 101, 165, 272, 308, 319, 321, 425, 438, 9999):
    libc.syscall(number, 0, 0, 0, 0, 0, 0)
    found.append(errno.errorcode.get(ctypes.get_errno()))
print(found)
print("score: 1")
"""
    plain = make_executor(command_problem(), sandbox(sys.executable), tmp_path / "plain").run(
        request(artifact(program))
    )
    outcome, _denials = watched(command_problem(), program, tmp_path)
    assert plain.ok
    assert outcome.log == plain.log


def test_many_threads_and_processes(tmp_path: Path) -> None:
    program = """
import os, subprocess, threading

def look():
    for _ in range(300):
        assert os.path.exists("/usr/bin/env")

threads = [threading.Thread(target=look) for _ in range(4)]
children = [subprocess.Popen(["/bin/sh", "-c", "for i in 1 2 3; do ls /usr > /dev/null; done"]) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert [child.wait() for child in children] == [0, 0, 0, 0]
print("score: 1")
"""
    outcome, denials = watched(command_problem(), program, tmp_path)
    assert outcome.ok, outcome
    assert denials.complete


@pytest.mark.parametrize(
    "program", ["while True: open('/etc/os-release')", "import time\ntime.sleep(60)", "import os\nos.abort()"]
)
def test_the_watch_ends_with_the_trial(program: str, tmp_path: Path) -> None:
    observer = Observer()
    executor = make_executor(command_problem(), observer.watch(sandbox(sys.executable)), tmp_path / "work")
    outcome = executor.run(request(artifact(program), limits=structs.replace(LIMITS, wall_seconds=1.0)))
    started = time.monotonic()
    assert outcome.failure is not None
    assert observer.denials().complete
    assert time.monotonic() - started < 2
    assert "trial-watch" not in {thread.name for thread in threading.enumerate()}


SOURCES = {
    "c": (
        "cc",
        ("/bin/sh", "-c", "cc reader.c -o $TMPDIR/reader && $TMPDIR/reader"),
        '#include <stdio.h>\nint main(void) {{ puts("score: 1"); return fopen("{corpus}/a", "r") != 0; }}\n',
    ),
    "js": (
        "node",
        ("node", "reader.js"),
        'try {{ require("fs").readFileSync("{corpus}/a") }} catch (e) {{ console.log("score: 1") }}\n',
    ),
}


@pytest.mark.parametrize("language", SOURCES)
def test_any_language(language: str, corpus: Path, tmp_path: Path) -> None:
    program, command, text = SOURCES[language]
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    spec = EvaluatorSpec(kind="command", command=command, metric_pattern=r"^score: (\S+)$")
    problem = loaded(spec, {f"reader.{language}": text.format(corpus=corpus)})
    observer = Observer()
    executor = make_executor(problem, observer.watch(sandbox(sys.executable)), tmp_path / "work", "fresh")
    outcome = executor.run(request(artifact(""), limits=structs.replace(LIMITS, memory_mb=8192, wall_seconds=30.0)))
    assert outcome.metrics == {"score": 1.0}, outcome
    assert f"{corpus}/a" in observer.denials().read


def test_a_level_that_is_not_watched_says_so(tmp_path: Path) -> None:
    observer = Observer()
    plain = unsafe_sandbox(sys.executable)
    assert observer.watch(plain) is plain
    executor = make_executor(command_problem(), plain, tmp_path / "work")
    assert executor.run(request(printing_artifact("def run(seed):\n    return 1"))).ok
    assert not observer.watching
    assert not observer.denials().complete


def test_a_watched_sandbox_keeps_its_control_groups() -> None:
    plain = sandbox(sys.executable)
    seen = Observer().watch(plain)
    assert isinstance(plain, BubblewrapSandbox)
    assert isinstance(seen, BubblewrapSandbox)
    assert seen is not plain
    assert seen.place == plain.place
