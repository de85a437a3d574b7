"""The candidate's seed follows the trial's and does not give it away."""

from __future__ import annotations

from consilience.trials.executors.seeds import candidate_seed

EVALUATOR = {"evaluator.py": b"def evaluate(candidate, seed): ..."}


def test_the_same_trial_gives_the_same_seed() -> None:
    files = {"b.py": b"2", "a.py": b"1"}
    assert candidate_seed(7, files) == candidate_seed(7, dict(sorted(files.items())))


def test_it_is_another_for_each_trial_and_each_evaluator() -> None:
    seeds = {candidate_seed(seed, EVALUATOR) for seed in range(1000)}
    assert len(seeds) == 1000
    assert candidate_seed(7, EVALUATOR) != candidate_seed(7, {"evaluator.py": b"another"})
    assert candidate_seed(7, EVALUATOR) != candidate_seed(7, {"other.py": EVALUATOR["evaluator.py"]})


def test_it_is_a_seed_of_32_bits_and_not_the_trials() -> None:
    seeds = [candidate_seed(seed, EVALUATOR) for seed in range(1000)]
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert max(seeds) > 2**31
    assert seeds != list(range(1000))
