"""How long texts are kept at least: a setting in days, and a key of the problem."""

from pathlib import Path

import pytest

from consilience.core.errors import SettingError
from consilience.core.study import Policy
from consilience.node.settings import resolve

FILE = Path("config.toml")


@pytest.mark.parametrize(("text", "wanted"), [("180", 180), ("180d", 180), (90, 90), ("0", 0), ("none", None)])
def test_days_are_read(text: object, wanted: int | None) -> None:
    settings = resolve({"retention_days": text}, {}, {"retention_days": 30}, {}, FILE)
    assert settings.study(Policy()).policy.retention_days == wanted


@pytest.mark.parametrize("text", ["-1", "1.5", "soon", "5h", True])
def test_what_is_no_number_of_days_is_refused(text: object) -> None:
    with pytest.raises(SettingError, match="retention_days"):
        resolve({}, {}, {"retention_days": text}, {}, FILE)


def test_the_problem_states_it_where_nothing_else_does() -> None:
    assert resolve({}, {}, {"retention_days": 30}, {}, FILE).study(Policy()).policy.retention_days == 30
    assert resolve({}, {}, {}, {}, FILE).study(Policy()).policy.retention_days is None
