"""Level `wasm` really runs CPython-WASI: what it gives, what it holds, and what it says of what it lacks."""

from __future__ import annotations

import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Outcome
from consilience.core.ports import Executor
from consilience.core.problem import Limits
from consilience.testing.trivial import LIMITS, artifact, request, split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox import wasm_module
from consilience.trials.sandbox.interpreter import inspect_interpreter
from consilience.trials.sandbox.probe import open_sandbox, probe_sandboxes, unsafe_sandbox
from consilience.trials.sandbox.tools import Tools
from consilience.trials.sandbox.wasm import WasmSandbox
from consilience.trials.sandbox.wasm_module import WasmTools, compiled_module, digest_of, find_wasm, runtime_name

pytestmark = pytest.mark.skipif(bool(find_wasm().lacks), reason="needs the extra: pip install 'consilience[wasm]'")

ARITHMETIC = """
import random
def run(seed):
    values = [random.random() * (index + 1) for index in range(2000)]
    random.shuffle(values)
    total = 0.0
    for value in sorted(values[:1500], key=lambda each: -each):
        total = total / 3.0 + value * value - 0.5
    return total + len({str(value) for value in values})
"""


def sandbox() -> WasmSandbox:
    compiled_module(find_wasm())  # takes seconds the first time, which a trial does not have
    return WasmSandbox(find_wasm(), inspect_interpreter(sys.executable))


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Executor]:
    made = make_executor(split_problem(), sandbox(), tmp_path / "work")
    yield made
    made.close()


def outcome(executor: Executor, program: str, *, seed: int = 1, limits: Limits = LIMITS) -> Outcome:
    return executor.run(request(artifact(textwrap.dedent(program)), seed=seed, limits=limits))


def test_every_canary_holds_and_the_probe_opens_this_level() -> None:
    probe = probe_sandboxes(sys.executable, tools=Tools(wasm=find_wasm()))
    assert probe.level == "wasm", probe.reports[-1].reason
    canaries = {canary.name: canary for canary in probe.reports[-1].canaries}
    assert all(canary.held for canary in canaries.values())
    assert canaries["fork_denied"].detail == "no such call"
    assert {"read_outside", "tcp_loopback", "follow_link", "spin_killed"} <= canaries.keys()
    assert open_sandbox(probe).level == "wasm"


def test_arithmetic_gives_the_bits_of_a_native_run(executor: Executor, tmp_path: Path) -> None:
    native = make_executor(split_problem(), unsafe_sandbox(sys.executable), tmp_path / "native")
    try:
        for seed in (1, 2):
            here, there = outcome(executor, ARITHMETIC, seed=seed), outcome(native, ARITHMETIC, seed=seed)
            assert here.ok, here
            assert here.metrics == there.metrics
            assert here.isolation.level == "wasm"
    finally:
        native.close()


def test_the_order_of_sets_is_the_same_in_each_trial(executor: Executor) -> None:
    program = "def run(seed):\n    return hash('a word') % 100003\n"
    assert len({outcome(executor, program, seed=seed).metrics["score"] for seed in (1, 1, 2)}) == 1


def test_the_problems_own_variables_are_there(tmp_path: Path) -> None:
    loaded = split_problem()
    problem = msgspec.structs.replace(loaded.problem, environment={"DEPTH": "7"})
    loaded = msgspec.structs.replace(loaded, problem=problem)
    made = make_executor(loaded, sandbox(), tmp_path / "work")
    try:
        found = outcome(made, "import os\ndef run(seed):\n    return float(os.environ['DEPTH'])\n")
    finally:
        made.close()
    assert found.metrics["score"] == 7.0, found


def test_a_module_of_the_candidates_own_is_found(executor: Executor) -> None:
    assert outcome(executor, "import json, program\ndef run(seed):\n    return float(json.loads('2.5'))\n").ok


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return float(open('/etc/hostname').read() is not None)", "crash"),
        ("return float(open('../../evaluator.py').read() is not None)", "violation"),
        ("return float(len(__import__('os').listdir('/')))", "crash"),
        ("open(__file__, 'w').write('x'); return 9.0", "violation"),
        ("open('left', 'w').write('x'); return 9.0", "violation"),
        ("import socket; socket.socket(); return 9.0", "violation"),
        ("import subprocess; subprocess.run(['true']); return 9.0", "violation"),
        ("import os; os.fork(); return 9.0", "crash"),
        ("import threading; threading.Thread(target=print).start(); return 9.0", "crash"),
        ("import ctypes; return 9.0", "crash"),
        ("import numpy; return 9.0", "crash"),
        ('import os; os.write(1, b\'{"value": 1.0}\\n{"value": 9.0}\\n\'); return 1.0', "invalid_output"),
        ("import os; os._exit(0)", "crash"),
        ("import sys; sys.stdout.close(); sys.exit(0)", "crash"),
        ("return len(bytearray(600 << 20))", "memory"),
        ("return len([bytearray(8 << 20) for _ in range(90)])", "memory"),
        ("f = lambda n: f(n + 1); return f(0)", "crash"),
        (
            "import json, sys\n    json.dumps = lambda *a, **k: '{\"value\": 9.0}'\n    return float('nan')",
            "non_finite",
        ),
    ],
)
def test_what_a_candidate_tries_ends_its_trial_and_no_other(executor: Executor, body: str, reason: str) -> None:
    found = outcome(executor, f"def run(seed):\n    {body}\n")
    assert found.failure is not None
    assert found.failure.reason == reason, found
    assert outcome(executor, "def run(seed):\n    return 1.5\n").metrics == {"score": 1.5}


def test_a_library_that_is_not_there_is_named_with_the_reason(executor: Executor) -> None:
    found = outcome(executor, "import numpy\ndef run(seed):\n    return 1.0\n")
    assert found.failure is not None
    assert "standard library only" in found.failure.message


def test_the_variables_are_those_that_were_given(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "of the recorder")
    program = "import os\ndef run(seed):\n    return float('A_SECRET' in os.environ or 'WASM_ORDERS' in os.environ)\n"
    assert outcome(executor, program).metrics == {"score": 0.0}


def test_cpu_time_is_limited_apart_from_wall_time(executor: Executor) -> None:
    limits = msgspec.structs.replace(LIMITS, wall_seconds=30.0, cpu_seconds=1.0)
    started = time.monotonic()
    found = outcome(executor, "def run(seed):\n    while True: pass\n", limits=limits)
    assert time.monotonic() - started < 15
    assert found.failure is not None
    assert found.failure.reason == "cpu_limit", found


def test_what_it_prints_is_the_log(executor: Executor) -> None:
    assert "a word" in outcome(executor, "def run(seed):\n    print('a word')\n    return 1.0\n").log


def test_other_kinds_of_problem_are_refused(tmp_path: Path) -> None:
    from consilience.testing.trivial import command_problem, openevolve_problem

    for problem in (command_problem(), openevolve_problem()):
        with pytest.raises(EnvironmentLacksError, match="'function' only") as refused:
            make_executor(problem, sandbox(), tmp_path)
        assert refused.value.hint


def test_the_guest_ends_with_a_recorder_that_was_killed(tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from consilience.core.problem import Limits
        from consilience.testing.trivial import artifact, request, split_problem
        from consilience.trials.executors.factory import make_executor
        from consilience.trials.sandbox.interpreter import inspect_interpreter
        from consilience.trials.sandbox.wasm import WasmSandbox
        from consilience.trials.sandbox.wasm_module import find_wasm
        box = WasmSandbox(find_wasm(), inspect_interpreter(sys.executable))
        executor = make_executor(split_problem(), box, Path({str(tmp_path / "work")!r}))
        program = "def run(seed):\\n    while True: pass\\n"
        executor.run(request(artifact(program), limits=Limits(wall_seconds=60, cpu_seconds=60)))
    """
    recorder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    deadline = time.monotonic() + 30
    while not (found := guests(recorder.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    recorder.kill()
    recorder.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in found):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def guests(parent: int) -> list[int]:
    """Return the runners below a process."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            status = (file.parent / "stat").read_text().rpartition(")")[2].split()
            if b"wasm_runner.py" in file.read_bytes() and int(status[1]) == parent:
                found.append(int(file.parent.name))
        except OSError:
            continue
    return found


def small_module(folder: Path, text: str = "(module)") -> WasmTools:
    from wasmtime import wat2wasm

    file = folder / "small.wasm"
    file.write_bytes(wat2wasm(text))
    return msgspec.structs.replace(find_wasm(), python=str(file))


def test_a_compiled_module_is_kept_and_is_only_ours(tmp_path: Path) -> None:
    tools, cache = small_module(tmp_path), tmp_path / "cache"
    file = Path(compiled_module(tools, cache))
    written = file.stat().st_mtime_ns
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Path(compiled_module(tools, cache)).stat().st_mtime_ns == written
    file.chmod(0o666)
    assert Path(compiled_module(tools, cache)).stat().st_mtime_ns != written, "others could have written it"
    assert sorted(cache.iterdir()) == [file]


def test_another_interpreter_or_wasmtime_is_compiled_apart(tmp_path: Path) -> None:
    tools, cache = small_module(tmp_path), tmp_path / "cache"
    other = msgspec.structs.replace(tools, wasmtime="0.0.1")
    assert compiled_module(tools, cache) != compiled_module(other, cache)


def test_what_is_no_module_is_refused_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "python.wasm"
    file.write_text("not wasm")
    tools = msgspec.structs.replace(find_wasm(), python=str(file))
    with pytest.raises(EnvironmentLacksError, match="cannot compile"):
        compiled_module(tools, tmp_path / "cache")
    probe = probe_sandboxes(sys.executable, tools=Tools(wasm=tools))
    assert probe.level == "none"
    assert "cannot compile" in probe.reports[-1].reason
    assert probe.reports[-1].mend


def test_a_module_that_is_no_python_holds_no_canary(tmp_path: Path) -> None:
    tools = small_module(tmp_path, '(module (func (export "_start")))')
    probe = probe_sandboxes(sys.executable, tools=Tools(wasm=tools))
    assert probe.level == "none"
    assert "no answer" in probe.reports[-1].reason


def test_the_packaged_interpreter_is_the_one_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = digest_of(find_wasm())
    assert digest == wasm_module.PACKAGED_SHA256
    assert digest[:16] in runtime_name(find_wasm())
    monkeypatch.setattr(wasm_module, "PACKAGED_SHA256", "0" * 64)
    with pytest.raises(EnvironmentLacksError, match="not the interpreter that this release knows"):
        digest_of(find_wasm())
