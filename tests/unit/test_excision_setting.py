"""`excision_roles`, from problem.toml and from settings."""

from pathlib import Path

import pytest

from consilience.core.errors import ProblemError, SettingError
from consilience.core.study import Policy
from consilience.node.settings import problem_layer, resolve
from consilience.problems.load import load_problem

PROBLEM = """
[objective]
metric = "m"
direction = "maximize"

[parameters.x]
type = "float"
low = 0.0
high = 1.0
default = 0.5
"""


def folder(tmp_path: Path, roles: str) -> Path:
    text = f"[policy]\nexcision_roles = {roles}\n" if roles else ""
    (tmp_path / "problem.toml").write_text(PROBLEM + text)
    (tmp_path / "evaluator.py").write_text("def evaluate(candidate, seed):\n    return {'m': 1.0}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("stated", "roles"), [("", ("owner",)), ("[]", ()), ('["curator", "owner"]', ("curator", "owner"))]
)
def test_a_problem_states_the_roles(stated: str, roles: tuple[str, ...], tmp_path: Path) -> None:
    loaded = load_problem(folder(tmp_path, stated))
    assert loaded.study.policy.excision_roles == roles
    layer = problem_layer(loaded.study, loaded.stated)
    assert resolve({}, {}, layer, {}, Path("c.toml")).study(Policy()).policy.excision_roles == roles


def test_a_wrong_name_in_a_problem_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as refused:
        load_problem(folder(tmp_path, '["two words"]'))
    assert refused.value.key == "policy.excision_roles"


@pytest.mark.parametrize(
    ("text", "roles"), [("curator, owner", ("curator", "owner")), ("none", ()), ("", ()), (["a"], ("a",))]
)
def test_settings_are_read(text: object, roles: tuple[str, ...]) -> None:
    found = resolve({}, {}, {}, {"excision_roles": text}, Path("c.toml"))
    assert found.study(Policy()).policy.excision_roles == roles


def test_a_wrong_setting_says_where_it_came_from() -> None:
    with pytest.raises(SettingError, match="CONSILIENCE_EXCISION_ROLES"):
        resolve({}, {"CONSILIENCE_EXCISION_ROLES": "two words"}, {}, {}, Path("c.toml"))
