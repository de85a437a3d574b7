"""The reference pages say what the code says: kinds, options, keys, reasons, settings and exit codes."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import click
import msgspec
import pytest

from consilience.core import errors
from consilience.core.outcome import EvaluationDomain, FailureReason, IsolationLevel
from consilience.core.problem import Limits
from consilience.interfaces.cli.main import COMMANDS, consilience
from consilience.journal.kinds import KINDS
from consilience.problems import schema
from consilience.problems.openevolve_keys import USED

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def references() -> ModuleType:
    path = ROOT / "scripts" / "write_references.py"
    found = importlib.util.spec_from_file_location("write_references", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_of_events_is_up_to_date(references: ModuleType) -> None:
    assert (DOCS / "events.md").read_text() == references.events_page(), "run: python scripts/write_references.py"


def test_the_page_of_commands_is_up_to_date(references: ModuleType) -> None:
    assert (DOCS / "cli.md").read_text() == references.cli_page(), "run: python scripts/write_references.py"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_every_kind_is_on_the_page(kind: object) -> None:
    page = (DOCS / "events.md").read_text()
    section = page.split(f"### {kind.name}\n")[1].split("\n### ")[0]
    for field in msgspec.structs.fields(kind.body):
        row = next(line for line in section.splitlines() if line.startswith(f"| `{field.name}` |"))
        assert ("rests on" in row) == (field.name in kind.rests_on)
        assert ("mentions" in row) == (field.name in kind.mentions)
        assert row.endswith("| blob |") == (field.name in kind.blobs)


def test_every_link_inside_the_page_of_events_leads_somewhere() -> None:
    page = (DOCS / "events.md").read_text()
    titles = {title.lower() for title in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) == titles


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    section = (DOCS / "cli.md").read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    command = consilience.get_command(click.Context(consilience), name)
    assert command is not None
    for parameter in command.params:
        named = (
            parameter.opts if isinstance(parameter, click.Option) else [parameter.make_metavar(click.Context(command))]
        )
        for option in named:
            assert option in section


@pytest.mark.parametrize("name", COMMANDS)
def test_every_verb_is_in_the_readme(name: str) -> None:
    table = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert any(re.search(rf"`{name}\b", line.split("|")[1]) for line in table)


def test_every_key_of_a_problem_is_documented() -> None:
    page = (DOCS / "problems.md").read_text()
    tables = {
        "objective": schema.ObjectiveTable,
        "artifact": schema.ArtifactTable,
        "parameters.NAME": schema.ParameterTable,
        "evaluator": schema.EvaluatorTable,
        "sandbox": schema.SandboxTable,
        "budget": schema.BudgetTable,
        "limits": Limits,
        "seeds": schema.SeedsTable,
        "policy": schema.PolicyTable,
    }
    single = set(schema.ProblemFile.__struct_fields__) - {name.partition(".")[0] for name in tables}
    wanted = {f"`{name}`" for name in single}
    for table, struct in tables.items():
        for field in struct.__struct_fields__:
            wanted.add(f"`.{field}`" if field == "high" else f"`{table}.{field}`")
    assert {name for name in wanted if name not in page} == set()


def test_documented_defaults_are_the_defaults() -> None:
    page = (DOCS / "problems.md").read_text()
    rows = {
        line.split("|")[1].strip(): line.split("|")[3].strip() for line in page.splitlines() if line.startswith("| `")
    }
    limits, policy, seeds = Limits(), schema.PolicyTable(), schema.SeedsTable()
    assert rows["`limits.wall_seconds`, `limits.cpu_seconds`"] == f"{limits.wall_seconds:g}, {limits.cpu_seconds:g}"
    assert rows["`limits.memory_mb`, `limits.output_kb`"] == f"{limits.memory_mb}, {limits.output_kb}"
    assert rows["`seeds.baseline`"] == str(seeds.baseline)
    assert rows["`policy.minimum_isolation`"] == f"`{policy.minimum_isolation}`"
    assert rows["`policy.false_promotion_rate`"] == str(policy.false_promotion_rate)
    assert rows["`policy.maximum_pairs`"] == str(policy.maximum_pairs)
    assert rows["`budget.trials`"].startswith(str(schema.DEFAULT_TRIALS))


@pytest.mark.parametrize("reason", sorted(set(get_args(FailureReason)) - {"budget"}))
def test_every_reason_of_failure_is_documented(reason: str) -> None:
    assert f"`{reason}`" in (DOCS / "problems.md").read_text()


@pytest.mark.parametrize("word", [*get_args(IsolationLevel), *get_args(EvaluationDomain)])
def test_every_level_and_domain_is_documented(word: str) -> None:
    assert re.search(rf"^\| `{word}` \|", (DOCS / "isolation.md").read_text(), re.MULTILINE)


def test_every_key_that_is_read_of_a_foreign_config_is_documented() -> None:
    page = (DOCS / "problems.md").read_text()
    names = {f"{group}.{key}" if group else key for group, keys in USED.items() for key in keys}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_exit_codes_are_documented() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", (DOCS / "cli.md").read_text(), re.MULTILINE)}
    assert rows == codes
    readme = (ROOT / "README.md").read_text()
    assert all(re.search(rf"\b{code}\b", readme.split("xit codes")[1]) for code in codes)
