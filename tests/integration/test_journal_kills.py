"""A writer that is killed between the phases of a commit: a group is there as a whole, or never was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consilience.core.bodies import PhaseSwitched
from consilience.identity.keys import EnvelopeVerifier
from consilience.identity.keystore import load_or_create
from consilience.journal.device import read_marks
from consilience.journal.journal import Journal
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.store import Store
from consilience.journal.verify import verify_store
from consilience.testing.clocks import ManualClock

HIVE = "0" * 32
WRITER = """
import os, signal, sys
from pathlib import Path
from consilience.core.bodies import PhaseSwitched
from consilience.identity.keystore import load_or_create
from consilience.journal.device import FeedMark
from consilience.journal.journal import Journal
from consilience.journal.store import Store
from consilience.testing.clocks import ManualClock

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

home, phase = Path(sys.argv[1]), sys.argv[2]
journal = Journal.create(home / "state", load_or_create(home / "key.json"), ManualClock(0, 1))
journal.enter("0" * 32, home / "marks")
def group(count):
    for n in range(count):
        journal.append(PhaseSwitched(phase="explore", figures={"n": n}, reason=phase))
        journal.put(b"log %d" % n)
group(3)
journal.commit()
if phase == "group open":
    group(2)
    die()
if phase == "before the disk has it":
    Store.commit = die
if phase == "before the mark moves":
    FeedMark.move = die
group(2)
journal.commit()
die()
"""
KEPT = {"group open": 3, "before the disk has it": 3, "before the mark moves": 5, "after all": 5}


@pytest.mark.parametrize("phase", KEPT)
def test_a_group_is_whole_or_never_was(phase: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path), phase], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    assert_sound(tmp_path, KEPT[phase])
    journal = Journal.create(tmp_path / "state", load_or_create(tmp_path / "key.json"), ManualClock(0, 1))
    events = journal.enter(HIVE, tmp_path / "marks")
    assert [event.fields.seq for event in events] == list(range(KEPT[phase]))
    event = journal.append(PhaseSwitched(phase="exploit", figures={}, reason="resumed"))
    assert event.fields.seq == KEPT[phase], "the same feed goes on: no seq is signed twice"
    assert event.fields.prev == events[-1].id
    journal.commit()
    journal.close()
    assert_sound(tmp_path, KEPT[phase] + 1)


def assert_sound(home: Path, count: int) -> None:
    store = Store.open(home / "state" / JOURNAL_NAME)
    report = verify_store(store, EnvelopeVerifier(), read_marks(home / "marks"))
    store.close()
    assert report.fault is None, str(report.fault)
    assert (report.events, report.feeds) == (count, 1)
