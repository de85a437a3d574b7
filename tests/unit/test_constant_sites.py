"""Constants: which literals may move, and that nothing else does when they move."""

import ast
import random

import pytest
from msgspec.structs import replace

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.ports import Scored
from consilience.search.proposers.constants import constants_of, settings_of, with_values
from consilience.search.proposers.drift import DriftProposer
from consilience.testing.proposers import example_view


def artifact(text: str) -> Artifact:
    return Artifact(files=(ArtifactFile("a.py", text),))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a = 3\n", [3.0]),
        ("a = -3\n", [-3.0]),
        ("a = b - 3\n", [3.0]),
        ("a = -3.5e-2\n", [-0.035]),
        ("a = 0x10 + 1_000\n", [16.0, 1000.0]),
        ("a = b[3] + b[4:5]\n", []),
        ("for i in range(0, n): pass\n", []),
        ("for i in range(n - 1): pass\n", []),
        ("for i in range(7): pass\n", [7.0]),
        ("a: Literal[3] = 5\n", [5.0]),
        ("a = True, None, '3', 4j\n", []),
        ("a = 1e999, 10**13, 99999999999999\n", [10.0, 13.0]),
        (f"a = 1{'0' * 400}\n", []),
        (f"a = 1{'0' * 5000}\n", []),
        ("a = 3\n# EVOLVE-BLOCK-START\nb = 4\n# EVOLVE-BLOCK-END\nc = 5\n", [4.0]),
    ],
)
def test_which_literals_may_move(text: str, values: list[float]) -> None:
    assert [constant.value for constant in constants_of(artifact(text))] == values


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("a = 3  # é three\n", 4.6, "a = 5  # é three\n"),
        ("é = b - 3\r\n", -2.0, "é = b - (-2)\r\n"),
        ("a = -3\n", 2.0, "a = 2\n"),
        ("a = - 3\n", -2.0, "a = -2\n"),
        ("a = (-3)\n", -7.0, "a = (-7)\n"),
        ("a = 0.5\n", 0.1 + 0.2, "a = 0.30000000000000004\n"),
        ("a = 2. ; b = c\n", 4.0, "a = 4.0 ; b = c\n"),
    ],
)
def test_only_the_literal_is_rewritten(before: str, value: float, after: str) -> None:
    old = artifact(before)
    (constant,) = constants_of(old)
    assert with_values(old, {constant: value}).text("a.py") == after


def test_moving_several_at_once_reads_back_exactly() -> None:
    old = artifact("a = [1.5, -2.5, 3]\nb = f(4.5, key=-6)\n")
    wanted = [value * -1.5 for value in (1.5, -2.5, 3.0, 4.5, -6.0)]
    new = with_values(old, dict(zip(constants_of(old), wanted, strict=True)))
    found = [constant.value for constant in constants_of(new)]
    assert found == [-2.25, 3.75, -4.0, -6.75, 9.0]
    assert len(ast.parse(new.text("a.py")).body) == 2


def test_settings_leave_out_what_is_mostly_structure() -> None:
    found = [constant.value for constant in settings_of(artifact("a = 0, 1, 2, 3, 0.0, 1.0, 0.5, 2.0, -1, -5\n"))]
    assert found == [3.0, 0.5, 2.0, -5.0]


def test_names_are_one_short_line() -> None:
    text = "(first,\n second) = 3, 4\n" + "x" * 80 + " = 5\n"
    for constant in constants_of(artifact(text)):
        assert "\n" not in constant.name
        assert len(constant.name) <= 40


@pytest.mark.parametrize(("literal", "kind"), [("7", int), ("0", int), ("1", int), ("2.5", float), ("0.0", float)])
def test_drift_moves_a_number_and_keeps_its_type(literal: str, kind: type) -> None:
    parent = Scored(candidate="c" * 64, artifact=artifact(f"A = {literal}\n"), score=0.0)
    view = replace(example_view(parameters=False), parent=parent)
    for seed in range(30):
        drawn = DriftProposer().propose(view, random.Random(seed))
        assert drawn is not None
        moved = ast.literal_eval(drawn.artifact.text("a.py").removeprefix("A = ").strip())
        assert type(moved) is kind
        assert moved != kind(literal if kind is int else float(literal))


def test_exploration_takes_longer_steps() -> None:
    parent = Scored(candidate="c" * 64, artifact=artifact("A = 100.0\n"), score=0.0)
    spread = {}
    for phase in ("explore", "exploit"):
        view = replace(example_view(parameters=False), parent=parent, phase=phase)
        drawn = [DriftProposer().propose(view, random.Random(seed)) for seed in range(60)]
        moved = [constants_of(one.artifact)[0].value for one in drawn if one is not None]
        spread[phase] = sum(abs(value - 100.0) for value in moved) / len(moved)
    assert spread["explore"] > 2.0 * spread["exploit"]
