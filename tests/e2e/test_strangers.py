"""Another's journal is taken in: what a stranger says of my study is kept, and decides nothing in it."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Shell
from msgspec.structs import replace

from consilience.core.bodies import CandidateProposed, StudyConfigured, TrialFinished, TrialStarted, VerdictReached
from consilience.core.study import Budget
from consilience.identity.keys import Identity
from consilience.journal.journal import Journal
from consilience.journal.table_file import checksum
from consilience.node.exchanging import import_journal
from consilience.node.reading import StudyReader
from consilience.node.views import supposed_views
from consilience.testing.clocks import ManualClock

STATE = Path("valley") / ".consilience"


@pytest.fixture
def studied(shell: Shell) -> Shell:
    shell.machine.problem()
    assert shell("run", "valley", "--trials", "8", "-q")[0] == 0
    return shell


def copied(shell: Shell, who: Identity) -> tuple[Journal, str]:
    """Return another's copy of the study's journal, opened to write in the study's own hive."""
    home = shell.machine.home
    import_journal(home / "other", home / STATE / "journal.db")
    journal = Journal.create(home / "other", who, ManualClock())
    (hive,) = journal.hives()
    journal.enter(hive, home / "other-marks")
    return journal, hive


def last(journal: Journal, hive: str, body: type[Any]) -> Any:
    return [event.body for event in journal.events(hive) if isinstance(event.body, body)][-1]


def bring_back(shell: Shell, journal: Journal) -> None:
    journal.commit()
    journal.close()
    shell.data("import", str(shell.machine.home / "other" / "journal.db"), "-p", "valley")


def claim(journal: Journal, hive: str, **metrics: float) -> str:
    """Tell of a candidate that scored these metrics and was promoted; return its `trial.started` event."""
    known = last(journal, hive, CandidateProposed)
    incumbent = next(e.id for e in journal.events(hive) if isinstance(e.body, CandidateProposed))
    proposed = journal.append(replace(known, parents=(incumbent,), normal_form="strange")).id
    started = journal.append(replace(last(journal, hive, TrialStarted), number=99, proposed=proposed)).id
    finished = last(journal, hive, TrialFinished)
    outcome = journal.append(replace(finished, started=started, metrics=metrics, failure=None)).id
    verdict = VerdictReached(
        candidate=proposed,
        incumbent=incumbent,
        verdict="promoted",
        reasons=(),
        figures={"gain": 9.0},
        trials=(outcome,),
    )
    journal.append(verdict)
    return started


def test_a_stranger_moves_no_board_budget_or_incumbent(studied: Shell) -> None:
    before = studied.data("replay", "-p", "valley")
    journal, hive = copied(studied, Identity.generate())
    claim(journal, hive, depth=-1e9)
    settings = last(journal, hive, StudyConfigured).settings
    journal.append(StudyConfigured(version=9, settings=replace(settings, budget=Budget(trials=10**9))))
    bring_back(studied, journal)
    assert studied.data("replay", "-p", "valley") == before
    assert studied.data("board", "-p", "valley") == before["board"]
    assert studied.data("verify", "-p", "valley")["fault"] is None, "what he signed holds; it only does not count"
    assert studied("run", "valley", "--trials", "10", "-q")[0] == 0
    assert studied.data("replay", "-p", "valley")["summary"]["trials"] == 10


def test_a_stranger_who_runs_anothers_study_is_told_that_nothing_would_count(
    studied: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = studied.data("verify", "-p", "valley")["events"]
    for name in ("DATA", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(studied.machine.home / "stranger" / name))
    code, _, err = studied("run", "valley", "--trials", "20", "-q")
    assert code == 1
    assert "is no member of this study" in err
    assert "certify" in err
    assert studied.data("log", "-p", "valley", "--kind", "trial.started", "--tail", "99")[-1]["place"] < count
    assert studied("run", "valley", "--state", "own-state", "--trials", "6", "-q")[0] == 0


def test_an_outcome_without_the_metric_counts_as_failed_in_every_view(studied: Shell) -> None:
    """A member's other software, or a member who cheats."""
    with StudyReader.open(studied.machine.home / STATE) as reader:
        hive, problem, journal = reader.hive, reader.problem, reader.journal
        finished = [event for event in reader.events if isinstance(event.body, TrialFinished)][-1]
        body = replace(finished.body, metrics={"other": 1.0})
        events = [replace(e, body=body) if e.id == finished.id else e for e in reader.events]
        views = supposed_views(journal, hive, problem, events)
        assert views.trials.rows[body.started].status == "failed"
        assert views.trials.rows[body.started].failure.reason == "missing_metric"
        assert views.run_state.outcomes["missing_metric"] == 1
        (board_key,) = views.board.keys()
        assert sum(row.failures for row in views.board.rows(board_key)) == 1


def test_a_forged_snapshot_is_told_by_replay_and_gone_after_compact(studied: Shell) -> None:
    board = studied.data("board", "-p", "valley")
    (path,) = (studied.machine.home / STATE / "views").glob("*.db")
    forge(path)
    assert studied.data("board", "-p", "valley") != board, "a snapshot is believed until it is compared"
    code, out, _ = studied("replay", "-p", "valley")
    assert code == 3
    assert "NOT THE SAME" in out
    assert studied.data("compact", "-p", "valley")["snapshots"] > 0
    assert studied("replay", "-p", "valley")[0] == 0
    assert studied.data("board", "-p", "valley") == board


def forge(path: Path) -> None:
    """Let every standing on the kept board have another score, with sums that fit."""
    connection = sqlite3.connect(path)
    rows = connection.execute('SELECT place, key, data FROM "board _standings"').fetchall()
    for place, key, data in rows:
        standing = msgspec.msgpack.decode(data)
        standing["scores"] = [score - 1e6 for score in standing["scores"]]
        forged = msgspec.msgpack.encode(standing)
        values = (forged, checksum(place, key, forged), place)
        connection.execute('UPDATE "board _standings" SET data = ?, sum = ? WHERE place = ?', values)
    connection.commit()
    connection.close()


def test_an_old_key_file_from_a_backup_is_refused_before_it_spoils_the_journal(studied: Shell) -> None:
    key = next((studied.machine.home / "data").rglob("key.json"))
    old = key.read_bytes()
    assert studied("id", "rotate")[0] == 0
    assert studied("run", "valley", "--trials", "9", "-q")[0] == 0
    key.write_bytes(old)
    before = studied.data("verify", "-p", "valley")
    for command in (("run", "valley", "--trials", "12", "-q"), ("checkpoint", "-p", "valley")):
        code, _, err = studied(*command)
        assert code == 4, err
    assert studied.data("verify", "-p", "valley") == before
