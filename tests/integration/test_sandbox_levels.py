"""What a confined program can and cannot reach, by real processes at each level."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sandbox_bench import Bench, at_all, at_held, at_strong, bench, root

from consilience.core.errors import EnvironmentLacksError

__all__ = ["bench", "root"]  # fixtures


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
        "from sandbox_bench import Bench, sandbox_at\n"
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


@at_held
def test_the_target_leads_a_session_of_its_own(bench: Bench) -> None:
    """Its group would else be the helper's, and a signal to the whole group would leave the sandbox."""
    for may_fork in (False, True):
        done = bench.run("import os; print(os.getsid(0) == os.getpgrp() == os.getpid())", may_fork=may_fork)
        assert done.out == "True\n", done.err
