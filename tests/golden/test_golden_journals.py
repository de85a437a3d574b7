"""One journal of each released format: it verifies, and it replays to what it always replayed to, for ever."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from consilience.journal.kinds import BY_NAME
from consilience.journal.store import Store
from consilience.journal.verify import verify_store
from consilience.node.reading import StudyReader
from consilience.node.verifying import fresh_keys, fresh_ring

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))
FORMATS = sorted(path.parent for path in HERE.glob("*/journal.db"))


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: path.name)
def test_a_golden_journal_verifies_and_replays(folder: Path, tmp_path: Path) -> None:
    from write_golden_journal import expected

    shutil.copy(folder / "journal.db", tmp_path / "journal.db")
    store = Store.open(tmp_path / "journal.db")
    assert verify_store(store, fresh_ring(), keys=fresh_keys).fault is None
    store.close()
    assert expected(folder) == json.loads((folder / "expected.json").read_text())


def test_the_golden_journal_has_nearly_every_kind(tmp_path: Path) -> None:
    shutil.copy(HERE / "v2/journal.db", tmp_path / "journal.db")
    reader = StudyReader.open(tmp_path)
    kinds = {event.fields.kind for event in reader.events}
    reader.close()
    assert set(BY_NAME) - kinds <= {"phase.switched"}
