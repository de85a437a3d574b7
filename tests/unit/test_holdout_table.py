"""The holdout in problem.toml: kept apart, committed to in the id, and what is refused with which words."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from msgspec import structs

from consilience.core.canonical import hash_value, sha256_hex
from consilience.core.errors import ProblemError
from consilience.core.ports import Grants, LoadedProblem
from consilience.core.problem import FileDigest, problem_id
from consilience.problems.granting import check_secrets
from consilience.problems.holdout import SALT, Holdout, check_interpreter
from consilience.problems.load import load_problem

TOML = """
data = ["labels.csv"]
[objective]
metric = "accuracy"
direction = "maximize"
[artifact]
files = ["model.py"]
[evaluator]
entry = "evaluator.py"
support = ["help.txt"]
[holdout]
files = ["held/*.csv"]
queries = 3
"""
EVALUATOR = "def evaluate(candidate, seed):\n    return 1.0\n\n\ndef holdout(candidate, seed):\n    return 1.0\n"
FILES = {
    "problem.toml": TOML,
    "model.py": "x = 1\n",
    "evaluator.py": EVALUATOR,
    "labels.csv": "labels\n",
    "help.txt": "help\n",
    "held/a.csv": "0\n",
    "held/b.csv": "1\n",
}


def write(root: Path, files: dict[str, str] = FILES) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def commitment(loaded: LoadedProblem) -> str:
    assert loaded.problem.holdout_commitment
    return loaded.problem.holdout_commitment


def test_the_files_are_read_and_kept_apart(tmp_path: Path) -> None:
    loaded = load_problem(write(tmp_path))
    assert loaded.holdout == {"held/a.csv": b"0\n", "held/b.csv": b"1\n"}
    assert loaded.study.policy.holdout_queries == 3
    assert "holdout_queries" in loaded.stated
    named = {*loaded.support, *(file.path for file in (*loaded.problem.data, *loaded.problem.evaluator.files))}
    assert not {path for path in named if "held" in path or SALT in path}


def test_the_commitment_is_salted_stable_and_part_of_the_id(tmp_path: Path) -> None:
    first = load_problem(write(tmp_path))
    salt = (tmp_path / SALT).read_text().strip()
    assert stat.S_IMODE((tmp_path / SALT).stat().st_mode) == 0o600
    digests = tuple(FileDigest(path=path, sha256=sha256_hex(data)) for path, data in sorted(first.holdout.items()))
    assert commitment(first) == hash_value({"salt": salt, "files": digests})
    assert load_problem(tmp_path) == first
    (tmp_path / "held" / "a.csv").write_text("2\n")
    other = load_problem(tmp_path)
    assert commitment(other) != commitment(first)
    assert problem_id(other.problem) != problem_id(first.problem)


def test_two_problems_with_equal_labels_have_different_commitments(tmp_path: Path) -> None:
    one, two = (load_problem(write(tmp_path / name)) for name in ("one", "two"))
    assert one.holdout == two.holdout
    assert commitment(one) != commitment(two)


def test_a_problem_without_holdout_has_none_and_makes_no_salt(tmp_path: Path) -> None:
    loaded = load_problem(write(tmp_path, {**FILES, "problem.toml": TOML.split("[holdout]", maxsplit=1)[0]}))
    assert (loaded.holdout, loaded.problem.holdout_commitment) == ({}, "")
    assert not (tmp_path / SALT).exists()


CASES: dict[str, tuple[dict[str, str], str, str]] = {
    # what is spoilt: (files, key, words of the message)
    "no files": ({"problem.toml": TOML.replace('["held/*.csv"]', "[]")}, "holdout.files", "no files"),
    "matches nothing": ({"problem.toml": TOML.replace("held/*.csv", "x/*")}, "holdout.files", "matches no file"),
    "also data": ({"problem.toml": TOML.replace("labels.csv", "held/a.csv")}, "holdout.files", "also among"),
    "also support": ({"problem.toml": TOML.replace("help.txt", "held/*")}, "holdout.files", "also among"),
    "a copy in the artifact": ({"model.py": "0\n"}, "holdout.files", "as 'model.py'"),
    "a copy in the data": ({"labels.csv": "1\n"}, "holdout.files", "as 'labels.csv'"),
    "the salt itself": ({"problem.toml": TOML.replace("held/*.csv", SALT), SALT: "0" * 64}, "holdout.files", "salt"),
    "the salt as data": (
        {"problem.toml": TOML.replace("labels.csv", SALT), SALT: "0" * 64},
        "holdout.files",
        "among the problem's files",
    ),
    "the salt in the artifact": (
        {"problem.toml": TOML.replace("model.py", SALT), SALT: "0" * 64},
        "holdout.files",
        "among the problem's files",
    ),
    "an empty file": ({"held/a.csv": ""}, "holdout.files", "empty"),
    "a short salt": ({SALT: "abc"}, "", "64 hexadecimal digits"),
    "no function": ({"evaluator.py": EVALUATOR.replace("holdout", "other")}, "evaluator.entry", "without holdout"),
    "queries below zero": ({"problem.toml": TOML.replace("queries = 3", "queries = -1")}, "holdout.queries", "-1"),
    "unknown key": ({"problem.toml": TOML.replace("queries = 3", "querys = 3")}, "holdout.querys", "unknown key"),
    "shared process": (
        {"problem.toml": TOML.replace('entry = "evaluator.py"', 'kind = "openevolve"')},
        "holdout",
        "where kind is openevolve",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_faults_are_named(tmp_path: Path, case: str) -> None:
    files, key, words = CASES[case]
    write(tmp_path, {**FILES, **files})
    with pytest.raises(ProblemError) as caught:
        load_problem(tmp_path)
    assert caught.value.key == key, caught.value
    assert words in str(caught.value)


@pytest.mark.parametrize("granted", ["held", "held/a.csv", ".", "labels.csv", "evaluator.py", SALT])
def test_no_grant_opens_what_scores(tmp_path: Path, granted: str) -> None:
    loaded = load_problem(write(tmp_path))
    place = str(tmp_path / granted)
    for grants in (Grants(readable=(place,)), Grants(scratch=(place,))):
        with pytest.raises(ProblemError, match="which scores the candidate"):
            check_secrets(structs.replace(loaded, grants=grants), (), "problem.toml")


def test_no_interpreters_folder_holds_the_holdout(tmp_path: Path) -> None:
    loaded = load_problem(write(tmp_path))
    holdout = Holdout(files=loaded.holdout, commitment=loaded.problem.holdout_commitment)
    with pytest.raises(ProblemError, match="the interpreter's folder"):
        check_interpreter(tmp_path, holdout, str(tmp_path / "bin" / "python"))
    check_interpreter(tmp_path, holdout, sys.executable)
