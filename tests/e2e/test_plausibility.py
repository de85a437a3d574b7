"""A bound in problem.toml: what lies beyond it is quarantined everywhere, and a wrong bound can be corrected."""

import csv
import json

import pytest
from conftest import EVALUATOR, PROBLEM, Machine, Shell

from consilience.core.errors import EXIT_FAILED, EXIT_USAGE
from consilience.core.problem import problem_id
from consilience.node.reading import StudyReader
from consilience.problems.load import load_problem

BOUNDED = PROBLEM.replace('direction = "minimize"', 'direction = "minimize"\nbound = 12.0')


def test_what_lies_beyond_the_bound_is_never_promoted_and_is_shown(machine: Machine, shell: Shell) -> None:
    machine.problem(problem=BOUNDED)
    code, _, err = shell("run", "valley", "--trials", "60")
    assert code == 0
    assert "QUARANTINED as implausible" in err
    with StudyReader.open(machine.home / "valley/.consilience") as reader:
        scores = {row.proposed_event: row.metrics["depth"] for row in reader.trials.rows.values() if row.metrics}
        beyond = {event for event, score in scores.items() if score < 12.0}
        verdicts = {event: row.body.verdict for event, row in reader.trials.verdicts.items()}
        trials = [row.proposed_event for row in reader.trials.rows.values()]
        parents = {parent for body in reader.trials.candidates.values() for parent in body.parents}
        best = reader.search.incumbent
        first = next(row for row in reader.trials.rows.values() if row.proposed_event in beyond)
    assert beyond
    assert {verdicts[event] for event in beyond if event in verdicts} == {"implausible"}
    assert not beyond & parents
    assert all(trials.count(event) == 1 for event in beyond), "a contest went on after an implausible score"
    assert best is not None
    assert best.mean >= 12.0
    _, out, _ = shell("board", "-p", "valley")
    assert "QUARANTINED, not ranked" in out
    assert "below the bound 12, so it cannot be true" in out
    data = shell.data("board", "-p", "valley")
    (ranked,), (apart,) = data["rankings"].values(), data["quarantined"].values()
    assert all(row["mean"] >= 12.0 for row in ranked if row["runs"])
    assert all(row["mean"] < 12.0 and row["implausible"] for row in apart)
    _, out, _ = shell("show", str(first.number), "-p", "valley")
    assert "implausible (QUARANTINED" in out
    assert shell("export", "out.csv", "-p", "valley")[0] == 0
    rows = list(csv.DictReader((machine.home / "out.csv").read_text().splitlines()))
    assert any(row["verdict"] == "implausible" for row in rows)
    code, out, _ = shell("trial", "run", str(first.number), "-p", "valley", "--seeds", "1")
    assert (code, "IMPLAUSIBLE" in out) == (0, True)


def test_a_baseline_beyond_the_bound_stops_the_study(machine: Machine, shell: Shell) -> None:
    machine.problem()
    code, _, err = shell("run", "valley", "--bound", "100", "-q")
    assert code == EXIT_FAILED
    assert "the baseline is implausible: depth 28.5 is below the bound 100" in err
    assert "either the bound is wrong" in err
    with StudyReader.open(machine.home / "valley/.consilience") as reader:
        assert len(reader.trials.rows) == 1
    assert shell("run", "valley", "--bound", "100", "-q")[0] == EXIT_FAILED
    with StudyReader.open(machine.home / "valley/.consilience") as reader:
        assert len(reader.trials.rows) == 1, "a baseline that is known to be implausible was run again"
    assert shell("run", "valley", "--trials", "12", "-q")[0] == 0


def test_a_corrected_bound_gives_back_what_it_quarantined(machine: Machine, shell: Shell) -> None:
    machine.problem(problem=BOUNDED)
    assert shell("run", "valley", "--trials", "60", "-q")[0] == 0
    code, _, _ = shell("run", "valley", "--trials", "120", "--bound", "none", "-q")
    assert code == 0
    data = shell.data("board", "-p", "valley")
    assert list(data["quarantined"].values()) == [[]]
    assert shell.data("replay", "-p", "valley")["summary"]["best"] < 12.0


def test_a_bound_stated_late_takes_the_incumbent_back(machine: Machine, shell: Shell) -> None:
    machine.problem()
    assert shell("run", "valley", "--trials", "60", "-q")[0] == 0
    assert shell.data("replay", "-p", "valley")["summary"]["best"] < 12.0
    assert shell("run", "valley", "--trials", "60", "--bound", "12", "-q")[0] == 0
    with StudyReader.open(machine.home / "valley/.consilience") as reader:
        assert reader.search.incumbent is not None
        assert reader.search.incumbent.mean >= 12.0
        promoted = [member for member in reader.search.promoted if reader.search.implausibility(member)]
        assert {member.verdict for member in promoted} == {"implausible"}


def test_the_json_of_a_run_tells_the_quarantine(machine: Machine, shell: Shell) -> None:
    machine.problem(problem=BOUNDED)
    _, out, _ = shell("run", "valley", "--trials", "60", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert any(line["type"] == "verdict" and line["verdict"] == "implausible" for line in lines)
    assert lines[-1]["summary"]["verdicts"]["implausible"] > 0


def test_the_bound_is_not_part_of_the_problem(machine: Machine) -> None:
    plain, bounded = machine.problem(), machine.problem("bounded", problem=BOUNDED)
    assert problem_id(load_problem(plain).problem) == problem_id(load_problem(bounded).problem)
    assert load_problem(bounded).study.policy.bound == 12.0


@pytest.mark.parametrize("bound", ["nan", "'much'", "inf", "true"])
def test_a_bound_that_is_no_number_is_refused(machine: Machine, shell: Shell, bound: str) -> None:
    machine.problem(problem=BOUNDED.replace("12.0", bound), evaluator=EVALUATOR)
    code, _, err = shell("run", "valley", "-q")
    assert (code, "bound" in err) == (EXIT_USAGE, True)
    code, _, err = shell("config", "valley")
    assert code == EXIT_USAGE


@pytest.mark.parametrize("bound", ["nan", "much"])
def test_a_flag_that_is_no_bound_is_refused(machine: Machine, shell: Shell, bound: str) -> None:
    machine.problem()
    code, _, err = shell("run", "valley", "-q", "--bound", bound)
    assert (code, "bound" in err) == (EXIT_USAGE, True)
