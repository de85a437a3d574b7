"""What a whole program may hand over: plain files of its own, and nothing that is made to look like one."""

from __future__ import annotations

import functools
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from consilience.core.outcome import Failure, Outcome
from consilience.core.ports import Grants
from consilience.core.problem import EvaluatorSpec
from consilience.testing.trivial import LIMITS, artifact, loaded, request
from consilience.trials.executors.program import ProgramExecutor
from consilience.trials.executors.program_outputs import take_outputs
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)
LIMIT = 4096


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    work, into = tmp_path / "work", tmp_path / "into"
    work.mkdir()
    into.mkdir()
    (tmp_path / "secret").write_text("SECRET")
    return work, into


def take(places: tuple[Path, Path], *names: str) -> tuple[str, ...] | Failure:
    return take_outputs(places[0], names or ("out",), LIMIT, places[1])


def test_plain_files_are_copied_in_order(places: tuple[Path, Path]) -> None:
    work, into = places
    (work / "a").mkdir()
    (work / "a" / "b").write_bytes(b"x" * 4000)
    (work / "c").write_bytes(b"y" * 96)
    assert take(places, "missing", "a/b", "a/missing", "c/below", "c") == ("a/b", "c")
    assert (into / "out-0").read_bytes() + (into / "out-1").read_bytes() == b"x" * 4000 + b"y" * 96


def sockets(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # the whole path may be too long for an address
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


TRICKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "symbolic link": (lambda path: path.symlink_to(path.parent.parent / "secret"), "a symbolic link"),
    "link to itself": (lambda path: path.symlink_to(path), "a symbolic link"),
    "hard link": (lambda path: path.hardlink_to(path.parent.parent / "secret"), "another name"),
    "two names": (lambda path: (path.write_text("x"), (path.parent / "twin").hardlink_to(path)), "another name"),
    "pipe": (os.mkfifo, "a pipe"),
    "socket": (sockets, "a socket"),
    "folder": (Path.mkdir, "a folder"),
    "sparse": (sparse, "over the limit"),
    "too large": (lambda path: path.write_bytes(b"x" * (LIMIT + 1)), "over the limit"),
}


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_are_refused(places: tuple[Path, Path], name: str) -> None:
    make, words = TRICKS[name]
    make(places[0] / "out")
    found = take(places)
    assert isinstance(found, Failure)
    assert found.reason == "invalid_output"
    assert words in found.message
    assert [path.stat().st_size for path in places[1].iterdir() if path.stat().st_size] == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices, and root reads what nobody may")
def test_a_device_is_refused(places: tuple[Path, Path]) -> None:
    try:
        os.mknod(places[0] / "out", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this machine's root may not make devices")
    found = take(places)
    assert isinstance(found, Failure)
    assert "a device" in found.message


def test_no_step_of_a_path_leads_elsewhere(places: tuple[Path, Path]) -> None:
    (places[0] / "a").symlink_to(places[0].parent)
    assert take(places, "a/secret") == ()


def test_all_files_together_have_one_limit(places: tuple[Path, Path]) -> None:
    for name in ("a", "b"):
        (places[0] / name).write_bytes(b"x" * 3000)
    assert isinstance(take(places, "a", "b"), Failure)


ARRAY = """
def evaluate(program, seed):
    array = program.run().array("a.npy")
    return float(array.sum())
"""
NPY = """
import io
import numpy as np
def put(data): open("a.npy", "wb").write(data)
def header(text, version=1): put(b"\\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2, "little") + text.encode())
"""


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[ProgramExecutor]:
    spec = EvaluatorSpec(kind="program", entry="evaluator.py", command=("{python}", "program.py"), outputs=("a.npy",))
    made = ProgramExecutor(loaded(spec, {"evaluator.py": ARRAY}), sandbox(sys.executable), tmp_path / "work")
    yield made
    made.close()
    assert not list((tmp_path / "work").iterdir())


def run(executor: ProgramExecutor, program: str) -> Outcome:
    return executor.run(request(artifact(NPY + program)))


@pytest.mark.parametrize(
    "value",
    [
        "np.eye(3)",
        "np.ones(3, dtype='>i2')",
        "np.ones((3, 1), dtype=bool)",
        "np.asfortranarray(np.eye(3))",
        "np.int8(3)",
    ],
)
def test_arrays_of_every_plain_kind(executor: ProgramExecutor, value: str) -> None:
    assert run(executor, f"np.save('a.npy', {value})").metrics == {"score": 3.0}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("np.savez(open('a.npy', 'wb'), a=np.eye(2))", "archives"),
        ("np.save('a.npy', np.array([{}], dtype=object), allow_pickle=True)", "plain numbers"),
        ("np.save('a.npy', np.zeros(2, dtype=[('a', 'f8')]))", "plain numbers"),
        ("header(\"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\")", "its header says"),
        ("header(\"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }\")", "plain numbers"),
        ("header(\"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999999), }\")", "cannot be"),
        ("header(\"{'descr': '<f8', 'fortran_order': False, 'shape': (\" + '0, ' * 99 + '), }')", "cannot be"),
        ("header(\"{'descr': '<f3', 'fortran_order': False, 'shape': (0,), }\")", "plain numbers"),
        ("header(\"{'descr': '|O8', 'fortran_order': False, 'shape': (0,), }\")", "plain numbers"),
        ("header('(' * 4000)", "plain numbers"),
        ("header('x' * 60000)", "plain numbers"),
        ("header('x' * 60, version=9)", "version 9"),
        ("put(b'\\x93NUMPY')", "archives"),
        ("put(b'')", "archives"),
        ("f = open('a.npy', 'wb'); f.truncate(1 << 29)", "over the limit"),
    ],
)
def test_bombs_and_pickles_are_refused(executor: ProgramExecutor, program: str, words: str) -> None:
    outcome = run(executor, program)
    assert outcome.failure is not None
    assert outcome.failure.reason == "invalid_output", outcome
    assert words in outcome.failure.message
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # counted for a child until it runs its own program
    assert outcome.resources.memory_kb <= max(200_000, ours)


@pytest.mark.parametrize("kind", ["open(f'f{n}', 'wb').write(bytes(1 << 24))", "open(f'f{n}', 'w').close()"])
def test_a_full_folder_ends_the_program(tmp_path: Path, kind: str) -> None:
    spec = EvaluatorSpec(kind="program", entry="evaluator.py", command=("{python}", "program.py"))
    problem = replace(loaded(spec, {"evaluator.py": ARRAY}), grants=Grants(scratch_mb=64))
    executor = ProgramExecutor(problem, sandbox(sys.executable), tmp_path / "work")
    limits = replace(LIMITS, wall_seconds=60.0)
    outcome = executor.run(request(artifact(f"n = 0\nwhile True:\n    {kind}; n += 1\n"), limits=limits))
    executor.close()
    assert outcome.failure is not None
    assert outcome.failure.reason == "violation", outcome
    assert "given room for" in outcome.failure.message
