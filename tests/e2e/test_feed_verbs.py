"""`log`, `export journal.jsonl`, `import`: a study carried from laptop to laptop, followed while it runs."""

import json
import signal
from pathlib import Path

import pytest
from conftest import Machine, Shell


@pytest.fixture
def studied(shell: Shell) -> Shell:
    shell.machine.problem()
    assert shell("run", "valley", "--trials", "8", "-q")[0] == 0
    return shell


def positions(shell: Shell, *arguments: str) -> list[int]:
    return [event["place"] for event in shell.data("log", "-p", "valley", *arguments)]


def test_log_chooses_by_kind_author_position_and_tail(studied: Shell) -> None:
    everything = studied.data("log", "-p", "valley")
    did = everything[0]["author"]
    assert [event["place"] for event in everything] == sorted(event["place"] for event in everything)
    trials = [event["place"] for event in everything if event["kind"].startswith("trial.")]
    assert positions(studied, "--kind", "trial.*") == positions(studied, "--kind", "trial.") == trials
    assert positions(studied, "--kind", "*.finished") == [
        event["place"] for event in everything if event["kind"] == "trial.finished"
    ]
    assert positions(studied, "--kind", "trial.*", "--tail", "3") == trials[-3:]
    assert positions(studied, "--since", str(trials[4]), "--kind", "trial.") == trials[4:]
    own = [event["place"] for event in everything if event["author"] == did]
    for name in ("me", did, did[:20], did.removeprefix("did:key:")[:12]):
        assert positions(studied, "--author", name) == own
    assert positions(studied, "--kind", "nothing.like") == []
    code, _, err = studied("log", "-p", "valley", "--author", "did:key:zQ3nobody")
    assert code == 2
    assert "no author" in err


def test_log_follows_a_run_until_it_is_interrupted(machine: Machine) -> None:
    folder = machine.problem()
    assert machine.run("run", str(folder), "--trials", "6", "-q").returncode == 0
    follower = machine.start("log", "-p", str(folder), "--follow", "--kind", "trial.*", "--tail", "1", "--json")
    assert follower.stdout is not None
    first = json.loads(follower.stdout.readline())
    assert machine.run("run", str(folder), "--trials", "9", "-q").returncode == 0
    seen = [json.loads(follower.stdout.readline()) for _ in range(6)]
    assert [event["kind"] for event in seen] == ["trial.started", "trial.finished"] * 3
    assert [event["place"] for event in [first, *seen]] == sorted(event["place"] for event in [first, *seen])
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=30)
    assert follower.returncode == 130, err
    assert out == ""


def test_a_study_goes_on_on_a_second_laptop_and_comes_back(studied: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    home = studied.machine.home
    exported = studied.data("export", "journal.jsonl", "-p", "valley")
    assert exported["events"] == studied.data("verify", "-p", "valley")["events"]
    laptop = home / "laptop"
    laptop.mkdir()
    for name in ("problem.toml", "evaluator.py"):
        (laptop / name).write_bytes((home / "valley" / name).read_bytes())
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "laptop-state"))
    taken = studied.data("import", "journal.jsonl", "-p", "laptop")
    assert taken["new"] == exported["events"]
    assert studied.data("import", "journal.jsonl", "-p", "laptop")["new"] == 0
    assert same_board(studied)
    assert studied("run", "laptop", "--trials", "14", "-q")[0] == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert studied("run", "valley", "--trials", "12", "-q")[0] == 0
    back = studied.data("import", str(home / "laptop" / ".consilience" / "journal.db"), "-p", "valley")
    assert back["new"] > 0
    assert back["quarantined"] == []
    studied.data("export", "other.jsonl", "--what", "journal", "-p", "valley")
    studied.data("import", "other.jsonl", "-p", "laptop")
    assert same_board(studied)
    for folder in ("valley", "laptop"):
        report = studied.data("verify", "-p", folder)
        assert report["fault"] is None
        assert report["quarantined"] == []
        assert "every hash" in studied("verify", "-p", folder)[1]
    assert studied("run", "valley", "--trials", "20", "-q")[0] == 0
    assert studied.data("verify", "-p", "valley")["fault"] is None


def same_board(shell: Shell) -> bool:
    one, other = (shell.data("replay", "-p", folder) for folder in ("valley", "laptop"))
    return bool(one == other)


def test_a_fork_is_kept_shown_and_ends_what_its_author_may_add(studied: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole machine is copied, feed marks and all, and both go on: the one way to fork in good faith."""
    home = studied.machine.home
    copy_tree(home / "valley", home / "copy")
    copy_tree(home / "state", home / "copied-state")
    assert studied("run", "valley", "--trials", "10", "-q")[0] == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "copied-state"))
    assert studied("run", "copy", "--trials", "10", "--seed", "7", "-q")[0] == 0
    studied.data("export", "journal.jsonl", "-p", "copy")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    taken = studied.data("import", "journal.jsonl", "-p", "valley")
    assert [proof["reason"] for proof in taken["quarantined"]] == ["forked-feed"]
    proof = taken["quarantined"][0]
    code, out, _ = studied("verify", "-p", "valley")
    assert code == 0, "the events of a proof hold: that is what makes them one"
    for verb in ("board", "verify"):
        out = studied(verb, "-p", "valley")[1]
        assert f"in quarantine: {proof['author']}" in out
        assert all(name[:12] in out for name in proof["events"])
    assert "in quarantine" in studied("log", "-p", "valley", "--tail", "1")[2]
    assert len(studied.data("board", "-p", "valley")["authors_in_quarantine"]) == 1
    assert studied.data("replay", "-p", "valley")["summary"]["trials"] == 8, "what lies before the fork counts"
    code, _, err = studied("run", "valley", "--trials", "30")
    assert code == 1
    assert "in quarantine" in err


def copy_tree(source: Path, target: Path) -> None:
    for file in sorted(source.rglob("*")):
        if file.is_file():
            made = target / file.relative_to(source)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_bytes(file.read_bytes())


def test_what_does_not_hold_is_refused_by_name_and_leaves_nothing(studied: Shell) -> None:
    studied.data("export", "journal.jsonl", "-p", "valley")
    path = studied.machine.home / "journal.jsonl"
    path.write_text(path.read_text().replace("screen", "scream", 1))
    (studied.machine.home / "empty").mkdir()
    code, _, err = studied("import", "journal.jsonl", "-p", "empty")
    assert code == 3
    assert "the id is not the hash of the payload" in err
    code, _, err = studied("import", "missing.jsonl", "-p", "empty")
    assert code == 2
    code, _, err = studied("import", "valley/.consilience/journal.db", "-p", "valley")
    assert code == 2
    assert "this journal itself" in err


def test_trials_and_journals_are_told_apart_by_name_or_flag(studied: Shell) -> None:
    home = studied.machine.home
    studied.data("export", "trials.jsonl", "-p", "valley")
    assert "number" in json.loads((home / "trials.jsonl").read_text().splitlines()[0])
    studied.data("export", "journal.jsonl", "--what", "trials", "-p", "valley")
    assert "number" in json.loads((home / "journal.jsonl").read_text().splitlines()[0])
    code, _, err = studied("import", "trials.jsonl", "-p", "valley")
    assert code == 3
    assert "line 1 is not of a journal" in err


def test_a_file_that_is_no_log_begins_no_study(shell: Shell) -> None:
    folder = shell.machine.problem()
    code, _, err = shell("import", str(folder / "problem.toml"), "-p", "valley")
    assert code == 2
    assert "expected commit" in err
    assert not (folder / ".consilience").exists()


def test_a_study_that_is_kept_beside_the_own_one_is_told(studied: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    studied.data("export", "journal.jsonl", "-p", "valley")
    other = Machine(studied.machine.home / "other")
    other.home.mkdir()
    for name, value in other.environment.items():
        monkeypatch.setenv(name, value)
    folder = other.problem()
    assert studied("run", str(folder), "--trials", "6", "-q")[0] == 0
    code, _, err = studied("import", "journal.jsonl", "-p", str(folder))
    assert code == 0
    assert "is kept and not shown" in err
    assert studied.data("import", "journal.jsonl", "-p", str(folder))["beside"]


def test_a_log_without_a_match_says_so(studied: Shell) -> None:
    code, out, err = studied("log", "-p", "valley", "--kind", "nothing.like")
    assert (code, out) == (0, "")
    assert "no event is like that" in err
