"""Questions to the holdout, in a real study: journalled, counted, refused past the policy, and without any effect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from consilience.core.bodies import TrialFinished, TrialStarted
from consilience.core.errors import HoldoutError, NotFoundError, UsageError
from consilience.core.ports import LoadedProblem, TrialRequest
from consilience.core.problem import comparability_key
from consilience.core.study import Spend
from consilience.journal.reader import JOURNAL_NAME
from consilience.node import holdout as node_holdout
from consilience.node.holdout import HoldoutReport, ask_holdout
from consilience.node.places import UserPlaces
from consilience.node.reading import StudyReader
from consilience.node.reports import board, summary
from consilience.node.running import Run
from consilience.node.settings import Settings, problem_layer, resolve
from consilience.problems.load import load_problem
from consilience.trials.environment import platform_class

TOML = """
[objective]
metric = "error"
direction = "minimize"
[artifact]
files = ["model.py"]
[parameters.weight]
type = "float"
low = 0.0
high = 4.0
default = 1.0
[evaluator]
entry = "evaluator.py"
[holdout]
files = ["held.csv"]
queries = 3
[budget]
trials = 12
[policy]
minimum_isolation = "none"
deterministic = true
"""
EVALUATOR = """
def evaluate(candidate, seed):
    return abs(candidate.call("predict", 1.0, candidate.parameters["weight"]) - 3.0)

def holdout(candidate, seed):
    x, y = map(float, open("held.csv").read().split(","))
    print("SECRET-OF-THE-HOLDOUT", x, y)
    found = candidate.call("predict", x, candidate.parameters["weight"])
    return {"error": abs(found - y), "seed": seed}
"""
MODEL = "def predict(x, weight):\n    print('given', x)\n    return x * weight\n"


class Study:
    """One problem with its user's folders."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "problem"
        self.root.mkdir()
        for name, text in (("problem.toml", TOML), ("model.py", MODEL), ("evaluator.py", EVALUATOR)):
            (self.root / name).write_text(text)
        (self.root / "held.csv").write_text("1.5,6.25")
        self.places = UserPlaces(
            key=folder / "key.json", marks=folder / "marks", settings=folder / "config.toml", cache=folder / "cache"
        )

    @property
    def loaded(self) -> LoadedProblem:
        return load_problem(self.root)

    def settings(self, **flags: Any) -> Settings:
        loaded = self.loaded
        layer = problem_layer(loaded.study, loaded.stated)
        return resolve(flags, {}, layer, {}, self.places.settings)

    def run(self, **flags: Any) -> None:
        with Run.open(self.loaded, self.settings(**flags), self.places) as run:
            run.start()
            run.work()

    def ask(self, name: str = "0", **flags: Any) -> HoldoutReport:
        return ask_holdout(self.loaded, self.settings(**flags), self.places, name)

    def reader(self) -> StudyReader:
        return StudyReader.open(self.root / ".consilience")

    def search(self) -> tuple[object, ...]:
        """Return all that the next decision rests on, but for the numbering of trials."""
        with self.reader() as reader:
            state = reader.search
            members = {name: (m.scores, m.evidence, m.failure, m.verdict) for name, m in state.members.items()}
            pool, incumbent = [member.event for member in state.pool], state.incumbent
            assert incumbent is not None
            boards = board(reader).rankings
            return (
                members,
                pool,
                incumbent.event,
                state.key,
                state.noise,
                dict(state.tried),
                boards,
                reader.budget.spent,
            )


@pytest.fixture
def study(tmp_path: Path) -> Study:
    made = Study(tmp_path)
    made.run()
    return made


def test_a_question_is_a_trial_that_moves_nothing(study: Study) -> None:
    before = study.search()
    report = study.ask()
    assert (report.metric, report.score, report.development) == ("error", 4.75, 2.0)
    assert (report.used, report.left, report.asked, report.failure) == (1, 2, 0, None)
    assert report.isolation.domain == "split"
    assert study.search() == before
    with study.reader() as reader:
        row = reader.trial(str(report.trial))
        assert (row.purpose, row.metrics["error"], row.finished_event) == ("holdout", 4.75, report.event)
        assert row.comparability_key != comparability_key(reader.problem, platform_class())
        assert (reader.budget.holdout_queries, reader.budget.holdout_left) == (1, 2)
        assert summary(reader).trials == 12


def test_the_search_goes_on_as_if_nothing_had_been_asked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    asked, quiet = Study(tmp_path / "a"), Study(tmp_path / "b")
    for each in (asked, quiet):
        each.run()
    asked.ask()
    for each in (asked, quiet):
        each.run(trials=16)

    def changes(each: Study) -> list[tuple[str, float | None]]:
        with each.reader() as reader:
            rows = [row for row in reader.trials.rows.values() if row.purpose != "holdout"]
            return [(row.candidate, row.metrics.get("error")) for row in rows]

    assert changes(asked) == changes(quiet)
    assert len(changes(asked)) == 16


def test_all_questions_have_one_seed_and_each_counts(study: Study) -> None:
    reports = [study.ask() for _ in range(3)]
    assert [report.used for report in reports] == [1, 2, 3]
    assert len({report.metrics["seed"] for report in reports}) == 1
    with pytest.raises(HoldoutError, match="asked 3 times, the policy allows 3") as caught:
        study.ask()
    assert (caught.value.exit_code, caught.value.kind) == (1, "holdout_refused")
    assert "fresh holdout data" in caught.value.hint
    with study.reader() as reader:
        started = [event for event in reader.events if isinstance(event.body, TrialStarted)]
        assert sum(event.body.purpose == "holdout" for event in started) == 3
    assert study.ask(holdout_queries=4).left == 0


def test_nothing_of_the_holdout_is_in_the_journal(study: Study) -> None:
    report = study.ask()
    assert "SECRET-OF-THE-HOLDOUT" in report.log
    with study.reader() as reader:
        row = reader.trial(str(report.trial))
        assert (row.log, row.feedback) == ("", "")
        assert reader.problem.holdout_commitment == study.loaded.problem.holdout_commitment
    journal = b"".join(path.read_bytes() for path in (study.root / ".consilience").glob(JOURNAL_NAME + "*"))
    assert b"given 1.0" in journal  # what the search saw is there, uncompressed
    salt = (study.root / ".holdout-salt").read_bytes().strip()
    for secret in (b"SECRET-OF-THE-HOLDOUT 1.5", b"given 1.5", b"1.5,6.25", salt):
        assert secret not in journal


def test_a_failed_question_counts_and_keeps_no_words(study: Study) -> None:
    (study.root / "held.csv").write_text("spoilt")
    with pytest.raises(NotFoundError):
        study.ask()  # another holdout is another problem, which has not been run
    study.run()
    report = study.ask()
    assert report.score is None
    assert report.failure is not None
    assert "spoilt" in report.failure.message
    with study.reader() as reader:
        row = reader.trial(str(report.trial))
        assert row.failure is not None
        assert row.failure.reason == "evaluator_error"
        assert "spoilt" not in row.failure.message
        assert reader.budget.holdout_queries == 1


def test_an_interrupted_question_counts(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> TrialRequest:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(node_holdout, "_request", interrupt)
        with pytest.raises(KeyboardInterrupt):
            study.ask()
    with study.reader() as reader:
        assert reader.budget.holdout_queries == 1
        assert reader.run_state.in_flight == {}
    assert study.ask().used == 2


def test_no_budget_is_spent(study: Study) -> None:
    report = study.ask()
    with study.reader() as reader:
        finished = next(event.body for event in reader.events if event.id == report.event)
        assert isinstance(finished, TrialFinished)
        assert finished.spent == Spend()
        assert finished.resources.wall_ms > 0


def test_a_problem_without_holdout_says_so(study: Study) -> None:
    (study.root / "problem.toml").write_text(TOML.replace('[holdout]\nfiles = ["held.csv"]\nqueries = 3\n', ""))
    study.run()
    with pytest.raises(UsageError, match="no holdout") as caught:
        study.ask()
    assert "[holdout]" in caught.value.hint


def test_an_unknown_trial_costs_nothing(study: Study) -> None:
    with pytest.raises(NotFoundError):
        study.ask("999")
    with study.reader() as reader:
        assert reader.budget.holdout_queries == 0


def test_the_salt_is_for_its_owner_alone(study: Study) -> None:
    mode = (study.root / ".holdout-salt").stat().st_mode
    assert mode & 0o077 == 0
    assert (study.root / ".holdout-salt").stat().st_uid == os.getuid()


def test_a_question_changes_nothing_of_the_study_but_the_number_of_questions(study: Study) -> None:
    study.run(trials=14)
    with study.reader() as reader:
        before = reader.search.study
    assert study.ask().left == 2  # asked without the flag that the study was run with
    with study.reader() as reader:
        assert reader.search.study == before
    assert study.ask(holdout_queries=9).left == 7
    with study.reader() as reader:
        after = reader.search.study
        assert after == replace(before, policy=replace(before.policy, holdout_queries=9))


def test_the_environment_is_named_as_in_a_run(study: Study) -> None:
    report = study.ask()
    with study.reader() as reader:
        assert reader.trial(str(report.trial)).environment == reader.trial("0").environment
