"""The Python face: run, ask and tell, look."""

import json
import subprocess
import sys

import pytest
from conftest import Shell

import consilience
from consilience.core.errors import BaselineError, NotFoundError, ProblemError, SettingError, UsageError
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


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_function_of_ones_own_scores_candidates(shell: Shell) -> None:
    pytest.importorskip("pebble", reason="needs the extra: pip install 'consilience[pool]'")
    shell.machine.problem()
    study = consilience.study("valley", trials=60)

    def depth(parameters: dict[str, float], seed: int) -> float:
        if parameters["x"] > 3.0:
            raise ValueError("too far")
        return (parameters["x"] - 1.0) ** 2 + (parameters["y"] + 0.5) ** 2

    with pytest.raises(UsageError, match="without a sandbox"):
        study.evaluate_with(depth, unsafe_no_sandbox=False)
    found = study.evaluate_with(depth, unsafe_no_sandbox=True)
    assert found.trials == 60
    assert set(found.outcomes) <= {"ok", "crash"}
    assert found.best < 16.25
    assert {record["domain"] for record in study.trials} == {"told"}
    assert all(record["cpu_ms"] > 0 for record in study.trials)
    shell.machine.problem("filed", with_program=True)
    filed = consilience.study("filed", trials=1)
    with pytest.raises(UsageError, match="are files"):
        filed.evaluate_with(depth, unsafe_no_sandbox=True)


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


def test_a_trial_that_was_asked_for_and_never_told_comes_again(shell: Shell) -> None:
    """The process that asked is gone; the next one is asked about the same candidate, and the budget is whole."""
    folder = shell.machine.problem()
    script = "import consilience, os\nconsilience.study('valley', trials=4).ask()\nos._exit(1)\n"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], env=shell.machine.environment, cwd=folder.parent, check=False)
    study = consilience.study("valley", trials=4)
    for _ in range(4):
        study.tell(study.ask(), {"depth": 2.0})
    study.close()
    assert study.summary().outcomes == {"interrupted": 2, "ok": 4}
    assert shell("verify", "-p", "valley")[0] == 0


def test_what_is_wrong_is_raised_with_its_mend(shell: Shell) -> None:
    folder = shell.machine.problem(evaluator="def evaluate(c, seed):\n    return {'depth': 1 / 0}\n")
    study = consilience.study("valley", trials=6)
    with pytest.raises(NotFoundError, match="no journal"):
        study.best  # noqa: B018  the property raises
    with pytest.raises(BaselineError, match="division by zero") as raised:
        study.run()
    assert raised.value.hint
    with pytest.raises(SettingError, match="trials"):
        consilience.study("valley", trials="many")
    with pytest.raises(SettingError, match="trails"):
        consilience.study("valley", trails=6)
    (folder / "problem.toml").write_text("name = 5")
    with pytest.raises(ProblemError, match="found an integer 5"):
        consilience.study("valley")


def test_run_and_command_share_one_study(shell: Shell) -> None:
    shell.machine.problem(with_program=True)
    first = consilience.study("valley", trials=12).run()
    code, out, _ = shell("run", "valley", "--trials", "20", "--json")
    assert code == 0
    assert sum(json.loads(line)["type"] == "trial" for line in out.splitlines()) == 8
    study = consilience.study("valley", trials=20)
    second = study.run()
    assert (first.trials, second.trials, second.baseline) == (12, 20, first.baseline)
    assert [record["trial"] for record in study.trials] == list(range(20))
