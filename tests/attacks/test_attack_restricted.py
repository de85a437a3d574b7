"""The same attacks at level `restricted`, where no namespace helps: what is left is Landlock, seccomp and limits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consilience.core.outcome import Execution
from consilience.trials.attacks.catalogue import CATALOGUE
from consilience.trials.attacks.model import Attack
from consilience.trials.attacks.suite import Suite, open_suite
from consilience.trials.sandbox.interpreter import inspect_interpreter
from consilience.trials.sandbox.landlock import REQUIRED_ABI, LandlockSandbox, landlock_abi
from consilience.trials.sandbox.root import unreachable

SYSTEM_PYTHON = "/usr/bin/python3"
CALLED = [attack for attack in CATALOGUE if attack.target != "program"]


@pytest.fixture(scope="module")
def suite() -> Iterator[Suite]:
    if landlock_abi() < REQUIRED_ABI:
        pytest.skip(f"Landlock ABI {REQUIRED_ABI} is needed")
    interpreter = inspect_interpreter(sys.executable)
    if os.getuid() == 0 and any(unreachable(path) for path in interpreter.readable):
        if not Path(SYSTEM_PYTHON).exists():
            pytest.skip("root becomes another user, who may not enter where the interpreter is")
        interpreter = inspect_interpreter(SYSTEM_PYTHON)
    with open_suite(LandlockSandbox(interpreter)) as made:
        yield made


@pytest.mark.parametrize("execution", ["fresh", "fork"])
@pytest.mark.parametrize("attack", CALLED, ids=lambda attack: f"{attack.number}-{attack.name}")
def test_no_attack_gets_through(suite: Suite, attack: Attack, execution: Execution) -> None:
    verdict = suite.against_split(attack, execution)
    assert verdict.level == "restricted"
    assert verdict.held, verdict
