from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from consilience.core.errors import UsageError
from consilience.core.problem import problem_id
from consilience.domains.catalogue import builtin_folder, builtin_names, copy_builtin
from consilience.problems.load import load_problem


class Stub:
    """Stands in for the candidate: answers every call by one prepared value or function."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.parameters: dict[str, Any] = {}

    def call(self, name: str, *args: Any) -> Any:
        return self._answer(name, *args) if callable(self._answer) else self._answer


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"of_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def evaluator(name: str) -> ModuleType:
    return module(builtin_folder(name) / "evaluator.py")


def own_artifact(name: str, file: str) -> Stub:
    program = module(builtin_folder(name) / file)
    return Stub(lambda function, *args: getattr(program, function)(*args))


def test_every_builtin_loads_without_a_warning() -> None:
    assert set(builtin_names()) >= {"circle-packing", "digits"}
    for name in builtin_names():
        loaded = load_problem(builtin_folder(name))
        assert (loaded.problem.name, loaded.warnings) == (name, ())
        assert loaded.problem.surface.files[0].region == "blocks"


@pytest.mark.parametrize("name", builtin_names())
def test_a_copy_is_the_same_problem_and_overwrites_nothing(tmp_path: Path, name: str) -> None:
    copy = copy_builtin(name, tmp_path / "copy")
    assert problem_id(load_problem(copy).problem) == problem_id(load_problem(builtin_folder(name)).problem)
    assert not (copy / "__init__.py").exists()
    with pytest.raises(UsageError, match="not empty"):
        copy_builtin(name, copy)


def test_a_misspelt_name_gets_the_right_one() -> None:
    with pytest.raises(UsageError) as caught:
        builtin_folder("cirle-packing")
    assert "circle-packing" in caught.value.hint


def test_packing_starts_modest_and_valid() -> None:
    metrics = evaluator("circle-packing").evaluate(own_artifact("circle-packing", "pack.py"), 0)
    assert metrics["violations"] == 0.0
    assert 0.36 < metrics["sum_radii"] < 1.5


GRID = [[(2 * column + 1) / 12, (2 * row + 1) / 12, 0.08] for row in range(6) for column in range(5)][:26]


def spoilt(place: int, value: Any) -> list[list[Any]]:
    return [[*GRID[0][:place], value, *GRID[0][place + 1 :]], *GRID[1:]]


def test_a_plain_grid_is_scored_exactly() -> None:
    assert evaluator("circle-packing").evaluate(Stub(GRID), 0) == {"sum_radii": math.fsum([0.08] * 26), "violations": 0}


@pytest.mark.parametrize("form", [np.array, lambda rows: [np.array(row) for row in rows]])
def test_answers_may_be_arrays(form: Any) -> None:
    packing = evaluator("circle-packing")
    assert packing.evaluate(Stub(form(GRID)), 0) == packing.evaluate(Stub(GRID), 0)
    digits, even = evaluator("digits"), [[0.1] * 10] * 300
    assert digits.evaluate(Stub(form(even)), 0) == digits.evaluate(Stub(even), 0)


@pytest.mark.parametrize(
    "rows",
    [
        np.array(GRID[:25]),
        np.array(GRID, dtype=complex),
        np.float32(0.5),
        spoilt(0, math.nan),
        spoilt(0, math.inf),
        spoilt(2, -0.01),
        spoilt(2, True),
        spoilt(2, "0.1"),
        spoilt(2, 10**400),
        spoilt(0, 0.0799),  # outside by a hair
        spoilt(2, 0.0867),  # touches its neighbour, 1/6 away, by a hair
        GRID[:25],
        [*GRID, GRID[0]],
        [GRID[0], *GRID[:25]],
        [[*row, 0.0] for row in GRID],
        {"circles": GRID},
        None,
        "26 circles",
    ],
)
def test_a_packing_that_breaks_a_rule_never_passes(rows: Any) -> None:
    assert evaluator("circle-packing").evaluate(Stub(rows), 0)["violations"] > 0


def test_touching_circles_are_told_from_overlapping_ones_without_tolerance() -> None:
    judge = evaluator("circle-packing")
    touching = [[0.25, 0.25, 0.25], [0.75, 0.25, 0.25], *([0.5, 0.9, 0.0] for _ in range(24))]
    assert judge.evaluate(Stub(touching), 0)["violations"] == 0
    touching[1][2] = math.nextafter(0.25, 1)
    assert judge.evaluate(Stub(touching), 0)["violations"] > 0


def test_digits_start_plain_and_vary_with_the_seed() -> None:
    judge, artifact = evaluator("digits"), own_artifact("digits", "train.py")
    first, again, other = (judge.evaluate(artifact, seed) for seed in (1, 1, 2))
    assert first == again
    assert first["log_loss"] != other["log_loss"]
    assert 1.5 < first["log_loss"] < math.log(10)
    assert first["accuracy"] > 0.1


def test_digits_never_sends_a_label_of_what_it_asks() -> None:
    judge, seen = evaluator("digits"), []
    known = {tuple(image): label for label, image in judge.DEV}

    def answer(name: str, images: Any, labels: Any, queries: Any, seed: int) -> Any:
        seen.append((name, images, labels, queries, seed))
        return [[0.91 if digit == known[tuple(query)] else 0.01 for digit in range(10)] for query in queries]

    metrics = judge.evaluate(Stub(answer), 5)
    (_, images, labels, queries, seed) = seen[0]
    assert (len(images), len(labels), len(queries), seed) == (600, 600, 300, 5)
    assert all(len(image) == 64 for image in [*images, *queries])
    assert metrics == {"log_loss": pytest.approx(-math.log(0.91)), "accuracy": 1.0}


@pytest.mark.parametrize(
    "row",
    [[0.1] * 9, [0.0] * 10, [math.nan] * 10, [-0.1, 1.1, *[0.0] * 8], [True, *[False] * 9], ["1"] * 10, None, 3],
)
def test_digits_give_no_score_to_what_is_no_distribution(row: Any) -> None:
    assert math.isnan(evaluator("digits").evaluate(Stub([row] * 300), 0)["log_loss"])


def test_digits_bound_the_loss_of_a_wrong_certainty() -> None:
    sure = evaluator("digits").evaluate(Stub([[1.0, *[0.0] * 9]] * 300), 0)
    assert math.isfinite(sure["log_loss"])
    assert sure["log_loss"] > math.log(10)
