"""Candidates forked from a warm process: nothing passes from one to the next, none harms what it came from."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from consilience.core.artifact import Artifact
from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Outcome
from consilience.core.ports import LoadedProblem
from consilience.core.study import ExecutionPolicy
from consilience.testing.trivial import LIMITS, artifact, openevolve_problem, request, split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.executors.interpreters import inspect_interpreter
from consilience.trials.executors.warm import preloads
from consilience.trials.executors.zygote import Plan, Zygote, ZygoteBrokenError
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement
from consilience.trials.sandbox.probe import strongest_sandbox, unsafe_sandbox

sandbox = functools.cache(strongest_sandbox)
pytestmark = pytest.mark.skipif(
    sandbox(sys.executable).level == "none", reason="without a sandbox nothing is forked; see consilience doctor"
)
Make = Callable[..., FunctionExecutor]
HONEST = "def run(seed):\n    return seed * 2\n"
TEXT = 'def evaluate(candidate, seed):\n    print(candidate.call("run", seed))\n    return 1.0\n'


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[FunctionExecutor] = []

    def maker(problem: LoadedProblem | None = None, policy: ExecutionPolicy = "fork") -> FunctionExecutor:
        made.append(FunctionExecutor(problem or split_problem(), sandbox(sys.executable), tmp_path / "work", policy))
        return made[-1]

    yield maker
    for executor in made:
        executor.close()
    assert not list((tmp_path / "work").glob("*"))


def run(executor: FunctionExecutor, program: str, *, fresh: bool = False, seed: int = 1) -> Outcome:
    asked = request(artifact(program), seed=seed, limits=LIMITS)
    return executor.run(msgspec.structs.replace(asked, fresh=fresh))


def still_serves(executor: FunctionExecutor, warm_pid: int) -> None:
    outcome = run(executor, HONEST)
    assert outcome.metrics == {"score": 2.0}
    assert outcome.isolation.execution == "fork"
    assert pid_of(executor) == warm_pid, "the warm process is the same"


def pid_of(executor: FunctionExecutor) -> int:
    zygote = executor._warm.zygote()
    assert zygote is not None
    return zygote._process.pid


def test_forked_and_fresh_candidates_score_the_same(make: Make) -> None:
    program = """
import os, random, sys
def run(seed):
    names = sorted(os.environ)
    assert "site" not in sys.modules, "no site module in either"
    places = (os.getcwd() == os.path.dirname(__file__), os.listdir(os.environ["TMPDIR"]), os.environ["HOME"])
    assert places[0] and places[1] == [] and places[2] == os.environ["TMPDIR"], places
    return random.random() + len(names) + sum(hash(word) % 97 for word in ("a", "b")) + seed
"""
    executor = make()
    forked, again, fresh = run(executor, program), run(executor, program), run(executor, program, fresh=True)
    assert forked.metrics == again.metrics == fresh.metrics, (forked, fresh)
    assert [outcome.isolation.execution for outcome in (forked, again, fresh)] == ["fork", "fork", "fresh"]


MARKS = """
import os, time
HERE = os.path.dirname(os.environ["TMPDIR"])
PLACES = (os.environ["TMPDIR"], HERE, HERE + "/program", "/tmp", "/dev/shm", "/dev", "/", "/proc/self")
def act(place):
    for deed in (
        lambda: open(place + "/left", "w").write("x"),
        lambda: os.mkdir(place + "/folder"),
        lambda: os.symlink("/etc/hostname", place + "/link"),
        lambda: os.setxattr(place, "user.left", b"x"),
        lambda: os.utime(place, (12345, 12345)),
        lambda: os.chmod(place, 0o751),
    ):
        try:
            deed()
        except OSError:
            pass
def look(place):
    try:
        about = os.stat(place)
        names = [name for name in os.listdir(place)] if "/proc" not in place and place != "/" else []
        return [sorted(set(names) - {"program", "scratch", "program.py", "__pycache__"}), about.st_mode,
                int(about.st_mtime) == 12345, os.listxattr(place) if hasattr(os, "listxattr") else []]
    except OSError as error:
        return type(error).__name__
def run(seed):
    found = [look(place) for place in PLACES]
    if seed == 1:
        for place in PLACES:
            act(place)
    print(found)
    return hash(str(found)) % 1000003
"""


def test_no_file_and_no_mark_passes_to_the_next_candidate(make: Make) -> None:
    executor = make()
    clean = run(executor, MARKS, seed=2)
    run(executor, MARKS, seed=1)
    after = run(executor, MARKS, seed=2)
    assert clean.ok, clean
    assert after.metrics == clean.metrics, (clean.log, after.log)


ATTACKS = {
    "kills-parent": "os.kill(os.getppid(), 9)",
    "kills-first": "os.kill(1, 9)",
    "kills-everybody": "os.kill(-1, 9)",
    "kills-group": "os.killpg(0, 9)",
    "stops-parent": "os.kill(os.getppid(), 19)",
    "limits-parent": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
    "slows-parent": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "reads-parents-memory": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "reads-parents-environment": "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "lists-parents-descriptors": "os.listdir(f'/proc/{os.getppid()}/fd')",
    "forks": "os.fork() or os._exit(0)",
    "executes": "os.execv('/bin/true', ['true'])",
    "opens-a-socket": "socket.socket()",
    "opens-a-local-socket": "socket.socket(socket.AF_UNIX)",
    "writes-outside": "open('/usr/left', 'w')",
    "remounts": "ctypes_call('mount', b'none', b'/tmp', b'tmpfs', 0, None)",
    "unshares": "ctypes_call('unshare', 0x10000000)",
    "leases-a-file-of-the-host": "fcntl.fcntl(open(os.__file__), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    "marks-a-folder": "fcntl.ioctl(os.open('.', os.O_RDONLY), 0x40086602, bytes([0x40, 0, 0, 0, 0, 0, 0, 0]))",
    "changes-its-program": "open(__file__, 'a')",
    "adds-to-its-program": "os.mkdir('left')",
    "writes-above": "os.mkdir('../left')",
    "lists-above": "os.listdir('..')",
    "moves-its-program": "os.rename('../program', '../scratch/program')",
    "traces-parent": "ctypes_call('ptrace', 16, os.getppid(), 0, 0)",
}
ATTACK = """
import fcntl, os, resource, signal, socket
def ctypes_call(name, *arguments):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)
def run(seed):
    try:
        DEED
    except OSError as error:
        return error.errno
    return -1
"""


@pytest.mark.parametrize("deed", ATTACKS.values(), ids=ATTACKS)
def test_a_forked_candidate_can_do_nothing_to_the_process_it_came_from(make: Make, deed: str) -> None:
    executor = make()
    still = run(executor, HONEST)
    assert still.ok, still
    warm_pid = pid_of(executor)
    outcome = run(executor, ATTACK.replace("DEED", deed))
    # refused with an error number, or it only ended itself
    assert not outcome.ok or outcome.metrics["score"] > 0, outcome
    still_serves(executor, warm_pid)


LEASE = """
import fcntl, os, signal
signal.signal(signal.SIGIO, signal.SIG_IGN)
KEPT = [os.open(os.path.dirname(os.__file__) + "/colorsys.py", os.O_RDONLY)]
def run(seed):
    try:
        fcntl.fcntl(KEPT[0], fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except PermissionError:
        return 2.0
    return -1.0
"""
READS = """
import os
def evaluate(candidate, seed):
    score = candidate.call("run", seed)
    open(os.path.dirname(os.__file__) + "/colorsys.py").close()
    return score
"""


@pytest.mark.parametrize("fresh", [True, False])
def test_a_candidate_cannot_keep_the_evaluator_from_opening_a_file(make: Make, fresh: bool) -> None:
    outcome = run(make(split_problem(READS)), LEASE, fresh=fresh)
    assert outcome.metrics == {"score": 2.0}, outcome


def test_no_descriptor_of_the_warm_process_is_passed_on(make: Make) -> None:
    program = """
import os, stat
def run(seed):
    kinds = []
    for number in range(3, 4096):
        try:
            kinds.append((number, stat.S_ISSOCK(os.fstat(number).st_mode)))
        except OSError:
            pass
    assert [number for number, _ in kinds] == [100, 101], kinds
    return 1.0
"""
    outcome = run(make(), program)
    assert outcome.metrics == {"score": 1.0}, outcome


SEARCH = """
import re
OWN = ""
def run(seed):
    wanted = re.compile(b"[t]he-text-of-the-earlier-candidat[e]")  # which its own text does not match
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            low, high = (int(part, 16) for part in place.split("-"))
            if "r" not in rights or high >= 1 << 47 or "[v" in line:
                continue
            try:
                memory.seek(low)
                found = wanted.search(memory.read(high - low))
            except OSError:
                continue
            if found:
                return -1
    return 1
"""


def test_nothing_of_an_earlier_candidate_is_in_memory(make: Make) -> None:
    secret = "the-text-of-the-earlier-candidate"
    patient = msgspec.structs.replace(LIMITS, wall_seconds=20.0, cpu_seconds=15.0)
    executor = make()
    assert run(executor, f"print({secret!r})\n{HONEST}").ok
    found = executor.run(request(artifact(SEARCH), limits=patient))
    own = executor.run(request(artifact(SEARCH.replace('""', repr(secret))), limits=patient))
    assert found.metrics == {"score": 1.0}, found
    assert own.metrics == {"score": -1.0}, "it finds what is there"


def test_a_folder_nested_beyond_removal_costs_the_warm_process_and_nothing_else(make: Make) -> None:
    program = """
import os
def run(seed):
    os.chdir(os.environ["TMPDIR"])
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
    return 1.0
"""
    executor = make()
    assert run(executor, program).ok
    assert run(executor, HONEST).metrics == {"score": 2.0}


def test_candidates_that_break_the_warm_process_do_not_end_forking(make: Make) -> None:
    program = """
import os
def run(seed):
    for number in range(10**6):
        os.close(os.open(f"{os.environ['TMPDIR']}/{number}", os.O_CREAT | os.O_WRONLY))
"""
    executor = make()
    patient = msgspec.structs.replace(LIMITS, wall_seconds=20.0, cpu_seconds=15.0)
    for _ in range(4):
        outcome = executor.run(request(artifact(program), limits=patient))
        assert outcome.failure is not None
        assert outcome.failure.reason == "violation"
    assert run(executor, HONEST).isolation.execution == "fork"


def test_a_candidate_that_asks_for_a_second_try_pays_for_both(make: Make) -> None:
    program = """
import os, time
while time.process_time() < 0.3:
    pass
os._exit(125)
"""
    outcome = run(make(), program)
    assert outcome.isolation.execution == "fresh"
    assert outcome.resources.cpu_ms > 550


def test_when_the_warm_process_is_killed_the_trial_is_run_fresh(make: Make) -> None:
    executor = make()
    first = pid_of(executor)
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    outcome = run(executor, HONEST)
    assert outcome.metrics == {"score": 2.0}
    assert outcome.isolation.execution == "fresh"
    after = run(executor, HONEST)
    assert after.isolation.execution == "fork", "another one took its place"
    assert pid_of(executor) != first


class Struck:
    """A sandbox whose warm processes are killed as they start."""

    def __init__(self) -> None:
        self._inner = sandbox(sys.executable)
        self.level, self.interpreter = self._inner.level, self._inner.interpreter

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> ConfinedProcess:
        process = self._inner.start(confinement, stdin=stdin, stdout=stdout, stderr=stderr)
        if confinement.hosts_candidates:
            os.killpg(process.pid, signal.SIGKILL)  # the helper and what it has just forked
        return process


def test_a_warm_process_that_dies_while_it_starts_holds_nobody_up(tmp_path: Path) -> None:
    executor = FunctionExecutor(split_problem(), Struck(), tmp_path / "work", "auto")
    try:
        began = time.monotonic()
        outcome = run(executor, HONEST)
        assert time.monotonic() - began < 20, "its end is seen, not waited for"
        assert (outcome.metrics, outcome.isolation.execution) == ({"score": 2.0}, "fresh")
    finally:
        executor.close()


def test_a_library_that_starts_threads_makes_forking_unfit(make: Make) -> None:
    imports = "import threads_at_import\n" + HONEST
    problem = split_problem()
    executor = make(msgspec.structs.replace(problem, baseline=artifact(imports)), "auto")
    plan = executor._warm._plan
    assert plan.preload == ("threads_at_import",)
    threads = "concurrent.futures.thread"  # a module that exists; the thread is started by the line below
    assert preloads(artifact(f"import {threads}\nimport os.path\nfrom . import own\n{HONEST}")) == (threads, "os.path")


def test_a_failing_import_is_reported_by_the_candidate_and_harms_nobody(make: Make) -> None:
    program = "import no_such_library\n" + HONEST
    executor = make(msgspec.structs.replace(split_problem(), baseline=artifact(program)))
    outcome = run(executor, program)
    assert outcome.failure is not None
    assert "no_such_library" in outcome.failure.message
    assert run(executor, HONEST).isolation.execution == "fork"


def test_a_candidates_module_may_have_the_name_of_a_loaded_one(make: Make) -> None:
    executor = make()
    named = msgspec.structs.replace(artifact("LOADED = 7\n").files[0], path="socket.py")
    program = artifact("import socket\ndef run(seed):\n    return socket.LOADED\n")
    both = msgspec.structs.replace(program, files=(*program.files, named))
    assert executor.run(request(both)).metrics == {"score": 7.0}


def test_demanding_forks_where_they_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacksError, match="level none does not confine"):
        FunctionExecutor(split_problem(), unsafe_sandbox(sys.executable), tmp_path, "fork")
    with pytest.raises(EnvironmentLacksError, match="only the candidates of evaluators of kind function"):
        make_executor(openevolve_problem(), sandbox(sys.executable), tmp_path, "fork")


def test_without_a_sandbox_auto_starts_fresh_processes(tmp_path: Path) -> None:
    executor = FunctionExecutor(split_problem(), unsafe_sandbox(sys.executable), tmp_path / "work", "auto")
    try:
        assert executor.isolation.execution == "fresh"
        assert run(executor, HONEST).isolation.execution == "fresh"
    finally:
        executor.close()


def test_parameters_alone_are_never_said_to_be_forked(make: Make) -> None:
    evaluator = 'def evaluate(candidate, seed):\n    return candidate.parameters["x"]\n'
    problem = msgspec.structs.replace(split_problem(evaluator), baseline=Artifact(parameters={"x": 0.5}))
    executor = make(problem, "auto")
    outcome = executor.run(request(problem.baseline))
    assert outcome.metrics == {"score": 0.5}
    assert outcome.isolation.execution == executor.isolation.execution == "fresh", (
        "nothing would be gained by a recheck"
    )


class Ending:
    """A sandbox in which every program ends at once."""

    level = "strong"
    interpreter = property(lambda _self: sandbox(sys.executable).interpreter)

    def start(self, confinement: Confinement, **streams: int) -> ConfinedProcess:
        argv = (sys.executable, "-c", "raise SystemExit('it cannot start')")
        return sandbox(sys.executable).start(msgspec.structs.replace(confinement, argv=argv), **streams)


def test_a_warm_process_that_ends_early_is_seen_at_once(tmp_path: Path) -> None:
    plan = Plan(interpreter=inspect_interpreter(sys.executable), limits=LIMITS)
    started = time.monotonic()
    with pytest.raises(ZygoteBrokenError, match="it cannot start"):
        Zygote(Ending(), plan, tmp_path / "work")
    assert time.monotonic() - started < 10, "not after all the time that imports may take"
