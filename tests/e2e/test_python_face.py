"""The Python face: run, ask and tell, look."""

import pytest
from conftest import Shell

import consilience
from consilience.core.errors import UsageError
from consilience.core.outcome import Failure


def test_run_and_look(shell: Shell) -> None:
    shell.machine.problem(with_program=True)
    study = consilience.study("valley", trials=30)
    found = study.run()
    assert found.trials == 30
    assert found.gain is not None
    assert found.gain > 0
    frame = study.trials.to_pandas()
    assert len(frame) == 30
    assert frame["score"].notna().any()
    assert "STEP" in study.best.text("program.py")
    assert study.board().rankings


def test_ask_and_tell(shell: Shell) -> None:
    shell.machine.problem()
    study = consilience.study("valley", trials=60)
    for _ in range(60):
        trial = study.ask()
        assert study.ask() == trial, "the same one until it is told"
        if trial.number == 7:
            study.tell(trial, Failure(reason="crash", message="it broke"))
        else:
            study.tell(trial, (trial.parameters["x"] - 1.0) ** 2 + (trial.parameters["y"] + 0.5) ** 2)
    with pytest.raises(UsageError, match="budget of trials is used up"):
        study.ask()
    with pytest.raises(UsageError, match="not asked for"):
        study.tell(trial, 1.0)
    study.close()
    assert study.summary().outcomes == {"crash": 1, "ok": 59}
    assert study.summary().best < 16.25
    assert {record["domain"] for record in study.trials} == {"told"}
    assert shell("verify", "-p", "valley")[0] == 0


def test_what_is_not_finite_is_a_failure(shell: Shell) -> None:
    shell.machine.problem()
    study = consilience.study("valley", trials=3)
    study.tell(study.ask(), {"depth": float("inf")})
    study.close()
    assert study.trials[0]["reason"] == "non_finite"


def test_told_scores_and_run_scores_are_never_compared(shell: Shell) -> None:
    shell.machine.problem()
    told = consilience.study("valley", trials=25)
    for _ in range(25):
        told.tell(told.ask(), -1000.0)
    told.close()
    found = consilience.study("valley", trials=60).run()
    assert found.baseline == pytest.approx(28.5), "the run has measured its own baseline"
    assert found.best > -1.0
    rankings = consilience.study("valley").board().rankings
    assert len(rankings) == 2
