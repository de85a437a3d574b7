"""Real processes at each level that this machine can enforce; a level that it cannot is skipped with the reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import IsolationLevel
from consilience.core.problem import Limits
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Exit, Sandbox
from consilience.trials.sandbox.probe import Probe, open_sandbox, probe_sandboxes, unsafe_sandbox
from consilience.trials.sandbox.proctree import descendants, state
from consilience.trials.sandbox.tools import Tools, find_tools

HELD: tuple[IsolationLevel, ...] = ("strong", "restricted")
ALL: tuple[IsolationLevel, ...] = (*HELD, "none")
SYSTEM_PYTHON = "/usr/bin/python3"


class Done(NamedTuple):
    exit: Exit
    out: str
    err: str


class Bench:
    """One sandbox with the folders of a trial."""

    def __init__(self, sandbox: Sandbox, interpreter: str, root: Path) -> None:
        self.sandbox, self.interpreter = sandbox, interpreter
        self.work, self.scratch = root / "work", root / "scratch"
        for folder in (self.work, self.scratch):
            folder.mkdir()
            folder.chmod(0o777)

    def confinement(self, code: str, *, may_fork: bool = False, **changes: object) -> Confinement:
        fields: dict[str, object] = {
            "argv": (self.interpreter, "-s", "-c", code),
            "work_dir": str(self.work),
            "scratch": str(self.scratch),
            "writable": (str(self.work),),
            "environment": {"OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(self.scratch)},
            "limits": Limits(cpu_seconds=10, memory_mb=512),
            "may_fork": may_fork,
        }
        return Confinement(**(fields | changes))  # type: ignore[arg-type]

    def start(self, confinement: Confinement) -> ConfinedProcess:
        null = subprocess.DEVNULL
        return self.sandbox.start(confinement, stdin=null, stdout=null, stderr=null)

    def run(self, code: str, **changes: object) -> Done:
        return self.finish(self.confinement(code, **changes))  # type: ignore[arg-type]

    def finish(self, confinement: Confinement) -> Done:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.sandbox.start(
                confinement, stdin=subprocess.DEVNULL, stdout=out.fileno(), stderr=err.fileno()
            )
            ended = process.wait(20)
            assert ended is not None or process.kill() is None, "it hung"
            out.seek(0)
            err.seek(0)
            assert ended is not None
            return Done(ended, out.read().decode(), err.read().decode())


@cache
def probed(level: str, interpreter: str) -> Probe:
    tools = find_tools()
    if level == "restricted":
        tools = Tools(landlock_abi=tools.landlock_abi)
    return probe_sandboxes(interpreter, tools=tools)


def sandbox_at(level: IsolationLevel) -> tuple[Sandbox, str]:
    if level == "none":
        return unsafe_sandbox(sys.executable), sys.executable
    reasons = []
    for interpreter in (sys.executable, SYSTEM_PYTHON):
        if not Path(interpreter).exists():
            continue
        probe = probed(level, interpreter)
        if probe.level == level:
            return open_sandbox(probe), interpreter
        reasons += [report.reason for report in probe.reports]
    pytest.skip(f"no {level} level here: {reasons}")


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="levels-") as folder:
        Path(folder).chmod(0o755)  # the restricted level runs as another user when we are root
        yield Path(folder).resolve()


@pytest.fixture
def bench(request: pytest.FixtureRequest, root: Path) -> Iterator[Bench]:
    sandbox, interpreter = sandbox_at(request.param)
    yield Bench(sandbox, interpreter, root)
    assert descendants(os.getpid()) == [], "a process is left"


at_held = pytest.mark.parametrize("bench", HELD, indirect=True)
at_strong = pytest.mark.parametrize("bench", ["strong"], indirect=True)
at_all = pytest.mark.parametrize("bench", ALL, indirect=True)


@at_all
def test_exit_code_and_streams(bench: Bench) -> None:
    done = bench.run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (done.exit.code, done.exit.signal) == (3, 0)
    assert (done.out, done.err) == ("out\n", "err\n")


@at_all
def test_a_script_sees_what_it_would_see_without_us(bench: Bench) -> None:
    script = bench.work / "script.py"
    (bench.work / "beside.py").write_text("value = 41\n")
    script.write_text(
        "import sys, json, beside\n"
        "def f(): return beside.value + 1\n"
        "print(json.dumps([sys.argv, sys.path[0], __name__, __file__, f(), sorted(n for n in globals() if n[0] == '_'"
        " and n[1] != '_')]))\n"
    )
    done = bench.finish(bench.confinement("", argv=(bench.interpreter, str(script), "a", "--b")))
    here = str(bench.work)
    assert json.loads(done.out) == [[str(script), "a", "--b"], here, "__main__", str(script), 42, []]


@at_all
def test_environment_is_exactly_what_was_given(bench: Bench) -> None:
    done = bench.run("import os; print(sorted(os.environ.items()))", environment={"A": "x=y z", "LC_ALL": "C.UTF-8"})
    assert done.out == "[('A', 'x=y z'), ('LC_ALL', 'C.UTF-8')]\n"


@at_all
def test_only_three_descriptors(bench: Bench) -> None:
    leak = os.open("/", os.O_RDONLY)
    os.set_inheritable(leak, True)
    code = (
        "import os\n"
        "found = []\n"
        "for n in range(200):\n"
        "    try: os.fstat(n); found.append(n)\n"
        "    except OSError: pass\n"
        "print(found)\n"
    )
    try:
        for may_fork in (False, True):
            assert bench.run(code, may_fork=may_fork).out == "[0, 1, 2]\n"
    finally:
        os.close(leak)


@at_held
def test_the_callers_environment_is_nowhere(bench: Bench, root: Path) -> None:
    """bubblewrap's own environment is readable inside as /proc/1/environ, whatever --clearenv says."""
    hunt = (
        "import os\n"
        "found = b''\n"
        "names = ['1', str(os.getppid()), 'self']\n"
        "try: names += [n for n in os.listdir('/proc') if n.isdigit()]\n"
        "except OSError: pass\n"
        "for n in names:\n"
        "    try: found += open(f'/proc/{n}/environ', 'rb').read()\n"
        "    except OSError: pass\n"
        "print(b'HUNTED' in found, len(names))\n"
    )
    runner = (
        "import subprocess, sys, tempfile\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from test_sandbox_levels import Bench, sandbox_at\n"
        "root = Path(sys.argv[1])\n"
        "bench = Bench(*sandbox_at(sys.argv[2]), root)\n"
        "for may_fork in (False, True):\n"
        "    done = bench.run(sys.argv[4], may_fork=may_fork)\n"
        "    print(done.out.split()[0], done.err)\n"
    )
    inner = root / "inner"
    inner.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", runner, str(inner), bench.sandbox.level, str(Path(__file__).parent), hunt],
        env=os.environ | {"SECRET": "HUNTED"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]


@at_held
def test_host_files_are_hidden_and_system_files_read_only(bench: Bench, root: Path) -> None:
    (root / "hidden").write_text("secret")
    given = root / "given"
    given.mkdir()
    (given / "data").write_text("data")
    code = (
        "import sys, os\n"
        "hidden, given = sys.argv[1:]\n"
        "print(open(given + '/data').read())\n"
        "open('made', 'w').write('x')\n"
        "def search(): return os.listdir(os.path.dirname(hidden)) == ['hidden'] or 1 / 0\n"
        "for action in (lambda: open(hidden), lambda: open(given + '/new', 'w'), lambda: open('/usr/new', 'w'),\n"
        "               lambda: open('/etc/passwd'), search):\n"
        "    try: action(); print('REACHED')\n"
        "    except (OSError, ZeroDivisionError): print('refused')\n"
    )
    arguments = (bench.interpreter, "-s", "-c", code, str(root / "hidden"), str(given))
    done = bench.finish(bench.confinement("", argv=arguments, readable=(str(given),)))
    assert done.out.split() == ["data", *["refused"] * 5], done.err
    assert (bench.work / "made").read_text() == "x"


@at_strong
def test_no_writable_place_without_a_size(bench: Bench) -> None:
    code = (
        "import os\n"
        "for place in ('/', '/dev', '/tmp', '/dev/shm', os.environ['TMPDIR'], '/run', '/root', '/proc/sys/kernel'):\n"
        "    total = 0\n"
        "    try:\n"
        "        for n in range(20):\n"
        "            with open(f'{place}/fill{n}', 'wb') as f: f.write(bytes(1 << 20)); total += 1\n"
        "    except OSError as e: print(place, total, e.errno)\n"
        "    else: print(place, 'UNBOUNDED')\n"
    )
    done = bench.run(code, scratch_mb=8)
    rows = [line.split() for line in done.out.splitlines()]
    assert len(rows) == 8
    assert "UNBOUNDED" not in done.out
    assert all(int(row[1]) <= 8 for row in rows)
    assert list(bench.scratch.iterdir()) == []


@at_held
def test_scratch_can_be_filled_by_the_program(bench: Bench) -> None:
    code = "import tempfile, os\nwith tempfile.NamedTemporaryFile() as f: f.write(b'x'); print(os.path.dirname(f.name))"
    assert bench.run(code).out == f"{bench.scratch}\n"


@at_held
def test_fork_and_exec_are_refused_while_threads_work(bench: Bench) -> None:
    code = (
        "import os, threading, subprocess\n"
        "def refused(action):\n"
        "    try: action()\n"
        "    except PermissionError: return True\n"
        "    return False\n"
        "print(refused(os.fork), refused(lambda: os.posix_spawn('/bin/true', ['true'], {})),\n"
        "      refused(lambda: subprocess.run(['/bin/true'])), refused(lambda: os.execv('/bin/true', ['true'])))\n"
        "seen = []\n"
        "threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(sorted(seen))\n"
    )
    done = bench.run(code)
    assert done.out.splitlines() == ["True True True True", "[0, 1, 2, 3, 4, 5, 6, 7]"], done.err


@at_held
def test_numpy_works_without_forking(bench: Bench) -> None:
    packages = str(Path(np.__file__).parents[1])
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    ours = bench.run("import sys; print('%d.%d' % sys.version_info[:2])").out.strip()
    if ours != version:
        pytest.skip(f"numpy is built for {version}, the level's interpreter is {ours}")
    code = "import numpy; print(int((numpy.eye(200) @ numpy.ones((200, 200))).sum()))"
    environment = {"PYTHONPATH": packages, "OPENBLAS_NUM_THREADS": "1"}
    done = bench.run(code, environment=environment, readable=(packages,))
    assert done.out == "40000\n", done.err


@at_held
def test_asyncio_works_without_sockets(bench: Bench) -> None:
    code = (
        "import asyncio, socket\n"
        "async def main(): await asyncio.sleep(0.001); return 5\n"
        "print(asyncio.run(main()))\n"
        "try: socket.socket()\n"
        "except PermissionError: print('no socket')\n"
    )
    assert bench.run(code).out == "5\nno socket\n"


@at_held
def test_whole_programs_may_start_processes(bench: Bench) -> None:
    code = (
        "import subprocess, sys\n"
        "print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True).stdout.strip())\n"
        "print(subprocess.run('echo shell', shell=True, capture_output=True, text=True).stdout.strip())\n"
    )
    done = bench.run(code, may_fork=True)
    assert done.out.split() == ["42", "shell"], done.err


@at_strong
def test_multiprocessing_pool_works_in_whole_programs(bench: Bench) -> None:
    code = "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, -2]))"
    done = bench.run(code, may_fork=True)
    assert done.out == "[1, 2]\n", done.err


@at_held
def test_another_program_than_python(bench: Bench) -> None:
    for may_fork in (False, True):
        argv = ("/bin/sh", "-c", "echo $A; exit 4")
        done = bench.finish(bench.confinement("", argv=argv, may_fork=may_fork, environment={"A": "b"}))
        assert (done.out, done.exit.code) == ("b\n", 4), done.err


@at_all
def test_memory_limit(bench: Bench) -> None:
    done = bench.run("x = bytearray(700 << 20); print('GOT IT')")
    assert done.out == ""
    assert done.exit.code != 0
    assert "MemoryError" in done.err


@at_all
def test_memory_of_a_whole_tree_is_watched(bench: Bench) -> None:
    code = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        x = b'x' * (200 << 20)\n"
        "        time.sleep(20)\n"
        "time.sleep(20)\n"
    )
    started = time.monotonic()
    done = bench.run(code, may_fork=True)
    assert time.monotonic() - started < 10
    assert done.exit.signal == 9
    assert done.exit.memory_kb > 512 * 1024


@at_all
def test_a_fork_bomb_ends(bench: Bench) -> None:
    code = (
        "import os, time\n"
        "end = time.monotonic() + 10\n"
        "while time.monotonic() < end:\n"
        "    try: os.fork()\n"
        "    except OSError: pass\n"
        "    time.sleep(0.02)\n"
    )
    started = time.monotonic()
    done = bench.run(code, may_fork=True, limits=Limits(cpu_seconds=30, memory_mb=8192))
    assert done.exit.signal == 9
    assert time.monotonic() - started < 5


@at_all
def test_cpu_limit(bench: Bench) -> None:
    done = bench.run("while True: pass", limits=Limits(cpu_seconds=1, memory_mb=256))
    assert done.exit.signal == 9
    assert 900 <= done.exit.cpu_ms <= 1500


@at_all
def test_cpu_of_a_tree_is_summed_and_limited(bench: Bench) -> None:
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    done = bench.run(code, may_fork=True, limits=Limits(cpu_seconds=1, memory_mb=512))
    assert done.exit.signal == 9
    assert 900 <= done.exit.cpu_ms <= 2500


@at_all
def test_file_size_limit(bench: Bench) -> None:
    code = (
        "f = open('big', 'wb')\n"
        "try: [f.write(bytes(1 << 20)) for _ in range(10)]; f.flush(); print('UNBOUNDED')\n"
        "except OSError as e: print(e.errno)\n"
    )
    done = bench.run(code, scratch_mb=2, limits=Limits(output_kb=100))
    assert done.out == "27\n"  # EFBIG
    assert (bench.work / "big").stat().st_size <= 2 << 20


@at_all
def test_kill_counts_the_time_that_was_used(bench: Bench) -> None:
    for may_fork in (False, True):
        process = bench.start(bench.confinement("while True: pass", may_fork=may_fork))
        assert process.wait(0.5) is None
        ended = process.kill()
        assert ended.signal == 9
        assert 50 <= ended.cpu_ms <= 1000
        assert process.kill() == ended == process.wait()
        assert state(process.pid) == ""


@at_all
def test_kill_at_any_moment_of_the_start(bench: Bench) -> None:
    for step in range(12):
        process = bench.start(bench.confinement("while True: pass", may_fork=bool(step % 2)))
        time.sleep(step * 0.002)
        process.kill()
        assert descendants(os.getpid()) == []


@at_all
def test_daemons_die_with_the_kill_and_with_the_end(bench: Bench) -> None:
    code = (
        "import os, time, signal, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        while True:\n"
        "            open('beat', 'a').write('.')\n"
        "            time.sleep(0.002)\n"
        "    os._exit(0)\n"
        "while not os.path.exists('beat'): time.sleep(0.002)\n"
        "time.sleep(float(sys.argv[1]))\n"
    )
    for seconds in ("0", "30"):
        beat = bench.work / "beat"
        beat.unlink(missing_ok=True)
        argv = (bench.interpreter, "-s", "-c", code, seconds)
        process = bench.start(bench.confinement("", argv=argv, may_fork=True))
        deadline = time.monotonic() + 10
        while not beat.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert beat.exists()
        ended = process.wait(10) if seconds == "0" else process.kill()
        assert ended is not None
        assert ended.signal == (0 if seconds == "0" else 9)
        size = beat.stat().st_size
        time.sleep(0.1)
        assert beat.stat().st_size == size
        assert descendants(os.getpid()) == []


@at_all
def test_a_tree_dies_with_us(bench: Bench, root: Path) -> None:
    """Our own process is killed without a chance to clean up; what it confined must not go on."""
    inner = root / "inner"
    inner.mkdir()
    runner = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from test_sandbox_levels import Bench, sandbox_at\n"
        "bench = Bench(*sandbox_at(sys.argv[2]), Path(sys.argv[1]))\n"
        'code = \'import time\\nwhile True: open("beat", "a").write("."); time.sleep(0.002)\'\n'
        "process = bench.start(bench.confinement(code, may_fork=True))\n"
        "while not (bench.work / 'beat').exists(): time.sleep(0.005)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    arguments = [str(inner), bench.sandbox.level, str(Path(__file__).parent)]
    done = subprocess.run([sys.executable, "-c", runner, *arguments], capture_output=True, check=False, timeout=60)
    assert done.returncode == -9, done.stderr
    time.sleep(0.3)
    size = (inner / "work" / "beat").stat().st_size
    time.sleep(0.1)
    assert (inner / "work" / "beat").stat().st_size == size


@at_all
def test_a_missing_path_is_an_error_of_the_machine(bench: Bench) -> None:
    with pytest.raises(EnvironmentLacksError, match="does not exist"):
        bench.start(bench.confinement("", readable=("/no/such/path",)))


@at_held
def test_real_root_never_runs_outside_a_user_namespace(bench: Bench) -> None:
    if os.getuid() != 0:
        pytest.skip("only root has this to fear")
    code = "import os\nprint(os.getuid())\nif os.getuid() == 0: print(open('/proc/self/uid_map').read().split()[2])\n"
    uid, *mapped = bench.run(code).out.split()
    assert uid == "65534" or mapped == ["1"]
