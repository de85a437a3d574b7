"""Repeats: equal where nothing moves, within a stated share of the noise where it does, never judged on nothing."""

import math
import random

import pytest
from msgspec.structs import replace

from consilience.core.problem import FileDigest
from consilience.node.repeats import environment_differences
from consilience.search.noise import NoiseFloor, allowed_difference, noise_floor
from consilience.search.repeating import FALSE_ALARMS, compare
from consilience.trials.environment import EnvironmentDescription

EXACT = NoiseFloor(mean=1.0, deviation=0.0, degrees=4, deterministic=True)
NOISY = NoiseFloor(mean=1.0, deviation=0.1, degrees=4, deterministic=False)


def agreements(before: dict[str, float], after: dict[str, float], floors: dict[str, NoiseFloor]) -> dict[str, str]:
    return {one.metric: one.agreement for one in compare(before, after, floors, "score")}


def test_the_allowance_is_students_t_over_two_runs() -> None:
    # t with 4 degrees at 0.005: 4.604 (any table of Student's t).
    assert allowed_difference(NOISY, FALSE_ALARMS) == pytest.approx(4.604095 * 0.1 * math.sqrt(2.0), rel=1e-5)
    assert allowed_difference(EXACT, FALSE_ALARMS) == 0.0


@pytest.mark.parametrize(
    ("after", "floor", "agreement"),
    [
        (1.0, EXACT, "equal"),
        (1.0 + 2**-52, EXACT, "differs"),
        (1.6, NOISY, "within noise"),
        (0.3, NOISY, "differs"),
        (1.7, NOISY, "differs"),
        (1.0, NOISY, "equal"),
    ],
)
def test_the_objective_is_judged(after: float, floor: NoiseFloor, agreement: str) -> None:
    assert agreements({"score": 1.0}, {"score": after}, {"score": floor}) == {"score": agreement}


def test_without_a_floor_the_objective_must_be_equal_and_others_are_not_judged() -> None:
    found = agreements({"score": 1.0, "size": 1.0}, {"score": 1.1, "size": 2.0}, {})
    assert found == {"score": "differs", "size": "not judged"}
    assert agreements({"score": 0.0}, {"score": -0.0}, {}) == {"score": "equal"}


def test_a_metric_that_is_gone_differs_and_the_objective_comes_first() -> None:
    floors = {"score": NOISY, "a": NOISY}
    found = compare({"a": 1.0, "score": 1.0}, {"score": 1.0}, floors, "score")
    assert [(one.metric, one.agreement) for one in found] == [("score", "equal"), ("a", "differs")]
    assert found[1].difference is None


def test_honest_reruns_are_called_different_as_often_as_stated() -> None:
    stream = random.Random(5)
    alarms, rounds = 0, 4000
    for _ in range(rounds):
        floor = noise_floor(tuple(stream.gauss(0.0, 2.0) for _ in range(5)))
        alarms += abs(stream.gauss(0.0, 2.0) - stream.gauss(0.0, 2.0)) > allowed_difference(floor, FALSE_ALARMS)
    expected = FALSE_ALARMS * rounds
    assert abs(alarms - expected) < 5 * math.sqrt(expected)


ENVIRONMENT = EnvironmentDescription(
    implementation="CPython",
    version="3.11.7",
    packages=("numpy==2.4.5", "pip==24.0", "zlib==1.0"),
    system="Linux glibc 2.36",
    machine="x86_64",
    cpu_model="One",
    cpu_level="x86-64-v3",
    platform_class="linux-x86_64-cpu",
    data=(FileDigest(path="a.csv", sha256="a" * 64),),
)


def test_differences_of_the_environment_are_named() -> None:
    other = replace(
        ENVIRONMENT,
        version="3.12.1",
        packages=("numpy==2.4.6", "pip==24.0", "scipy==1.0"),
        cpu_model="Two",
        data=(FileDigest(path="a.csv", sha256="b" * 64),),
    )
    assert environment_differences(ENVIRONMENT, ENVIRONMENT) == []
    assert environment_differences(ENVIRONMENT, other) == [
        "version: 3.11.7 then, 3.12.1 now",
        "cpu model: One then, Two now",
        "package numpy: 2.4.5 then, 2.4.6 now",
        "package scipy: absent then, 1.0 now",
        "package zlib: 1.0 then, absent now",
        "data file a.csv: aaaaaaaaaaaa then, bbbbbbbbbbbb now",
    ]
