"""docs/attacks.md says what the catalogue says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_attacks_is_up_to_date() -> None:
    found = importlib.util.spec_from_file_location("write_attacks", ROOT / "scripts" / "write_attacks.py")
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    assert (ROOT / "docs" / "attacks.md").read_text() == script.page(), "run: python scripts/write_attacks.py"
