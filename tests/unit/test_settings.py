"""Settings in layers: who wins, where a value came from, and what a wrong one says."""

from pathlib import Path

import pytest

from consilience.core.errors import BudgetError, SettingError
from consilience.core.study import Budget, Policy, StudySettings
from consilience.node.setting_values import read_seconds
from consilience.node.settings import Settings, problem_layer, read_user_file, resolve

USER = Path("config.toml")


def lay(**layers: dict[str, object]) -> Settings:
    environment = {name: str(value) for name, value in layers.get("environment", {}).items()}
    return resolve(layers.get("flags", {}), environment, layers.get("problem", {}), layers.get("user", {}), USER)


def test_each_layer_wins_over_the_ones_below() -> None:
    layers: dict[str, dict[str, object]] = {
        "flags": {"trials": "1"},
        "environment": {"CONSILIENCE_TRIALS": "2"},
        "problem": {"trials": 3},
        "user": {"trials": 4},
    }
    expected = [(1, "flag"), (2, "CONSILIENCE_TRIALS"), (3, "problem"), (4, "config.toml"), (100, "default")]
    for value, origin in expected:
        found = lay(**layers).resolved["trials"]
        assert (found.value, found.origin) == (value, origin)
        layers.pop(next(iter(layers), ""), None)


@pytest.mark.parametrize(
    ("text", "seconds"), [(5, 5.0), ("90s", 90.0), ("1.5h", 5400.0), ("2 m", 120.0), ("250ms", 0.25), ("1d", 86400.0)]
)
def test_durations(text: object, seconds: float) -> None:
    assert read_seconds(text) == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", "many"),
        ("trials", "1.5"),
        ("trials", True),
        ("wall_seconds", "5 parsecs"),
        ("wall_seconds", ""),
        ("autonomy", "full"),
        ("minimum_isolation", "strongest"),
        ("false_promotion_rate", "0.9"),
        ("durability", "maybe"),
    ],
)
def test_a_wrong_value_names_the_setting_and_its_origin(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=rf"{name} = .*from flag"):
        lay(flags={name: value})


@pytest.mark.parametrize("flags", [{"trials": "0"}, {"trials": "-3"}, {"wall_seconds": "0s"}])
def test_a_budget_that_allows_nothing_is_refused(flags: dict[str, object]) -> None:
    with pytest.raises(BudgetError, match="allows nothing"):
        lay(flags=flags).study(Policy())


def test_amounts_become_whole_milliseconds() -> None:
    study = lay(flags={"wall_seconds": "1.5s", "trials": "7"}).study(Policy(deterministic=True))
    assert study.budget == Budget(trials=7, wall_ms=1500)
    assert study.policy.deterministic is True


def test_only_what_the_problem_states_is_a_layer() -> None:
    study = StudySettings(budget=Budget(trials=5, wall_ms=2000), seed=9)
    assert problem_layer(study, ("trials",)) == {"trials": 5}
    assert problem_layer(study, ("seed", "wall_seconds")) == {"seed": 9, "wall_seconds": 2.0}


def test_an_unknown_name_in_the_user_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert read_user_file(path) == {}
    path.write_text("trails = 5\n")
    with pytest.raises(SettingError, match="'trails' is no setting"):
        read_user_file(path)
    path.write_text("trials = \n")
    with pytest.raises(SettingError, match=r"config\.toml"):
        read_user_file(path)


def test_a_misspelt_variable_is_an_error() -> None:
    with pytest.raises(SettingError, match="CONSILIENCE_TRAILS is no setting"):
        lay(environment={"CONSILIENCE_TRAILS": "5"})
    assert lay(environment={"CONSILIENCE_PASSPHRASE": "x", "OTHER": "y"}).value("trials") == 100
