"""The executor for called candidates keeps its contract at level `wasm` too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consilience.core.ports import Executor
from consilience.testing.conformance import ExecutorConformance
from consilience.testing.trivial import split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.interpreter import inspect_interpreter
from consilience.trials.sandbox.wasm import WasmSandbox
from consilience.trials.sandbox.wasm_module import compiled_module, find_wasm

pytestmark = pytest.mark.skipif(bool(find_wasm().lacks), reason="needs the extra: pip install 'consilience[wasm]'")


class TestWasm(ExecutorConformance):
    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        compiled_module(find_wasm())  # takes seconds the first time, which a trial does not have
        sandbox = WasmSandbox(find_wasm(), inspect_interpreter(sys.executable))
        executor = make_executor(split_problem(), sandbox, work_dir)
        yield executor
        executor.close()
