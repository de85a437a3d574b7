"""An operator's agents are known to be one operator's: he withdraws their results, and they his where he lets them."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Shell


def certified(shell: Shell, name: str, *may: str) -> Path:
    """Make an agent's key and certify it."""
    key = shell.machine.home / name / "key.json"
    given = [word for each in may for word in ("--may", each)]
    shell.data("id", "certify", "--new", key, "--name", name, *given)
    return key


def promoted(shell: Shell, folder: Path) -> str:
    rows = next(iter(shell.data("board", "-p", folder)["rankings"].values()))
    return str(next(row["trial"] for row in rows if row["verdict"] == "promoted"))


def withdrawn(report: dict[str, Any]) -> set[str]:
    return {event for kind in report["changed"] for event in kind["events"]}


@pytest.fixture
def study(shell: Shell) -> tuple[Path, Path]:
    """Return the folder of a study that an agent founded and ran, and the agent's key."""
    shell.data("id", "new")
    agent, folder = certified(shell, "worker", "run"), shell.machine.problem()
    assert shell("run", folder, "--trials", "14", "--key", agent, "-q", "--json")[0] == 0
    return folder, agent


def test_an_agents_study_tells_whose_agent_it_is(shell: Shell, study: tuple[Path, Path]) -> None:
    folder, _ = study
    operator = shell.data("id", "show")["did"]
    worker = next(each["author"] for each in shell.data("log", "-p", folder) if each["kind"] == "hive.founded")
    told = [each for each in shell.data("log", "-p", folder, "--kind", "key.certified") if each["author"] == operator]
    assert worker in {each["body"]["key"] for each in told}
    report = shell.data("verify", "-p", folder)
    assert set(report["authors"]) == {operator, worker}


def test_an_operator_withdraws_what_its_agent_found(shell: Shell, study: tuple[Path, Path]) -> None:
    folder, agent = study
    trial = promoted(shell, folder)
    preview = shell.data("excise", trial, "-p", folder, "--reason", "a cheat", "--dry-run")
    assert withdrawn(preview)
    done = shell.data("excise", trial, "-p", folder, "--reason", "a cheat")
    assert withdrawn(done) == withdrawn(preview)
    marked = {event["id"] for event in shell.data("log", "-p", folder) if "excised" in event}
    assert marked == withdrawn(done), "the views of every reader, a replay's too"
    assert shell.data("replay", "-p", folder)["board"]["excised"]
    assert shell("verify", "-p", folder)[0] == 0
    back = ("excise", "--withdraw", done["event"][:16], "-p", folder, "--reason", "it was none")
    code, _, err = shell(*back, "--key", agent)
    assert code == 1, "what an operator withdrew of an agent's, the agent does not bring back"
    assert "only its author may take it back" in err
    assert shell(*back)[0] == 0
    assert not shell.data("board", "-p", folder)["excised"]


def test_a_stranger_may_not_and_an_agent_only_where_it_is_certified_to(shell: Shell, study: tuple[Path, Path]) -> None:
    folder, _ = study
    other = shell.machine.home / "other" / "key.json"
    shell.data("id", "new", "--key", other)
    trial = promoted(shell, folder)
    code, _, err = shell("excise", trial, "-p", folder, "--reason", "envy", "--key", other)
    assert code == 1
    assert "only its author and members of these roles may" in err


def test_an_agent_with_the_capability_acts_for_its_operator(shell: Shell) -> None:
    shell.data("id", "new")
    folder = shell.machine.problem()
    assert shell("run", folder, "--trials", "14", "-q", "--json")[0] == 0
    may, may_not = certified(shell, "curator", "run", "excise"), certified(shell, "worker", "run")
    trial = promoted(shell, folder)
    code, _, err = shell("excise", trial, "-p", folder, "--reason", "no", "--key", may_not)
    assert code == 1, err
    assert withdrawn(shell.data("excise", trial, "-p", folder, "--reason", "a cheat", "--key", may))
    assert shell.data("board", "-p", folder)["excised"]
