"""The `[sandbox]` table: what is read of it, what is refused, and what of it makes another problem."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from consilience.core.errors import ProblemError
from consilience.core.ports import Grants
from consilience.core.problem import problem_id
from consilience.problems import granting
from consilience.problems.granting import check_secrets, is_secret_name, refusal
from consilience.problems.load import load_problem

TOML = """
[objective]
metric = "score"
direction = "maximize"

[artifact]
files = ["pack.py"]
"""
LAYOUTS = Path(__file__).resolve().parents[1] / "layouts"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home" / "cache").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path, home: Path) -> Path:
    folder = tmp_path / "problem"
    folder.mkdir()
    (folder / "problem.toml").write_text(TOML)
    (folder / "pack.py").write_text("x = 1\n")
    (folder / "evaluator.py").write_text("def evaluate(candidate, seed):\n    return 1.0\n")
    return folder


def with_table(folder: Path, table: str) -> Path:
    (folder / "problem.toml").write_text(f"{TOML}\n[sandbox]\n{table}\n")
    return folder


def test_a_problem_without_the_table_grants_nothing(folder: Path) -> None:
    loaded = load_problem(folder)
    assert loaded.grants == Grants()
    assert loaded.problem.environment == {}


def test_the_whole_table(folder: Path, home: Path, tmp_path: Path) -> None:
    table = f"""
readable = ["~/cache", "{tmp_path}/data/../corpus"]
scratch = ["~/.cache/torch"]
scratch_mb = 2048
environment = {{ OMP_NUM_THREADS = "2", HF_HUB_OFFLINE = "1" }}
gpus = 1
"""
    (tmp_path / "corpus").mkdir()
    loaded = load_problem(with_table(folder, table))
    readable = (str(home / "cache"), str(tmp_path / "corpus"))
    assert loaded.grants == Grants(readable=readable, scratch=(f"{home}/.cache/torch",), scratch_mb=2048, gpus=1)
    assert loaded.problem.environment == {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    assert loaded.warnings == ()


def test_places_leave_the_id_as_it_is_and_variables_do_not(folder: Path) -> None:
    before = problem_id(load_problem(folder).problem)
    places = 'readable = ["~/cache"]\nscratch = ["/data/out"]\nscratch_mb = 9\ngpus = 1'
    assert problem_id(load_problem(with_table(folder, places)).problem) == before
    assert problem_id(load_problem(with_table(folder, "environment = {}")).problem) == before
    assert problem_id(load_problem(with_table(folder, 'environment = { A = "1" }')).problem) != before


def test_an_absent_place_is_a_warning(folder: Path) -> None:
    loaded = load_problem(with_table(folder, 'readable = ["~/nowhere"]\nscratch = ["/nowhere/either"]'))
    assert len(loaded.warnings) == 1
    assert "nowhere does not exist here" in loaded.warnings[0]


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        ('readable = ["data"]', "sandbox.readable", "absolute path"),
        ('readable = ["~other/data"]', "sandbox.readable", "absolute path"),
        ('readable = ["$HOME/data"]', "sandbox.readable", "absolute path"),
        ('readable = ["/"]', "sandbox.readable", "home folder"),
        ('readable = ["//"]', "sandbox.readable", "home folder"),
        ('readable = ["~"]', "sandbox.readable", "home folder"),
        ('readable = ["~/cache/.."]', "sandbox.readable", "home folder"),
        ('readable = ["/etc"]', "sandbox.readable", "system folder"),
        ('readable = ["/usr"]', "sandbox.readable", "system folder"),
        ('readable = ["/proc/1"]', "sandbox.readable", "system's own"),
        ('readable = ["/dev/sda"]', "sandbox.readable", "system's own"),
        ('readable = ["/var/run/docker.sock"]', "sandbox.readable", "system's own"),
        ('readable = ["/etc/shadow"]', "sandbox.readable", "passwords"),
        ('readable = ["~/.ssh"]', "sandbox.readable", "secrets"),
        ('readable = ["~/.aws/credentials"]', "sandbox.readable", "secrets"),
        ('scratch = ["~"]', "sandbox.scratch", "home folder"),
        ('readable = ["/data/x"]\nscratch = ["/data/x"]', "sandbox.scratch", "in both"),
        ("scratch_mb = 0", "sandbox.scratch_mb", "above 0"),
        ("gpus = -1", "sandbox.gpus", "0 to"),
        ('environment = { "A B" = "1" }', "sandbox.environment.A B", "letters"),
        ('environment = { HOME = "/x" }', "sandbox.environment.HOME", "each trial sets"),
        ('environment = { LD_PRELOAD = "/x" }', "sandbox.environment.LD_PRELOAD", "each trial sets"),
        ('environment = { A = "1", N = 4 }', "sandbox.environment.N", "a string"),
        ('environment = { HF_TOKEN = "x" }', "sandbox.environment.HF_TOKEN", "secret"),
        ('environment = { A = "$A" }', "sandbox.environment.A", "literal"),
        ("environment = { A = 1 }", "sandbox.environment", "a string"),
        ('readible = ["/x"]', "sandbox.readible", "readable"),
    ],
)
def test_what_is_refused(folder: Path, table: str, key: str, words: str) -> None:
    with pytest.raises(ProblemError) as raised:
        load_problem(with_table(folder, table))
    assert raised.value.key.startswith(key)
    assert words in raised.value.message


def test_a_link_is_refused_for_what_it_leads_to(home: Path, tmp_path: Path) -> None:
    (tmp_path / "innocent").symlink_to(home)
    assert "home" in refusal(str(tmp_path / "innocent"))
    assert refusal(str(tmp_path)) != ""
    assert refusal(str(home / "cache")) == ""


def test_our_own_problems_are_refused(home: Path) -> None:
    ours = Path(granting.__file__).parents[1]
    assert all("scored on" in refusal(str(path)) for path in (ours, ours / "domains" / "ml", ours / "domains"))


def test_a_socket_is_refused(home: Path) -> None:
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/s")
        assert "socket" in refusal(f"{place}/s")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("HF_TOKEN", True),
        ("OPENAI_API_KEY", True),
        ("DB_PASSWORD", True),
        ("aws_secret_access_key", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("KEYBOARD", False),
        ("CUDA_HOME", False),
        ("PASSES", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret_name(name) == secret


@pytest.mark.parametrize(
    "place",
    ["problem", "problem/evaluator.py", "problem/.consilience", "problem/.consilience/work", "keys", "keys/key"],
)
def test_nothing_opens_what_the_score_hangs_on(folder: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "keys").mkdir()
    loaded = load_problem(with_table(folder, f'readable = ["{tmp_path}/{place}"]'))
    with pytest.raises(ProblemError) as raised:
        check_secrets(loaded, (folder / ".consilience", tmp_path / "keys" / "key"), "problem.toml")
    assert raised.value.key == "sandbox.readable"


def test_what_lies_beside_the_evaluator_may_be_opened(folder: Path, tmp_path: Path) -> None:
    (folder / "weights").mkdir()
    loaded = load_problem(with_table(folder, f'readable = ["{folder}/weights"]'))
    check_secrets(loaded, (folder / ".consilience", tmp_path / "key"), "problem.toml")


def test_a_foreign_folder_says_it_in_a_file_beside_its_own(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "circles"
    folder.mkdir()
    for file in (LAYOUTS / "circle_packing").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    before = load_problem(folder)
    (folder / "consilience.toml").write_text('[sandbox]\nreadable = ["~/cache"]\n')
    after = load_problem(folder)
    assert problem_id(after.problem) == problem_id(before.problem)
    assert after.support == before.support
    assert after.grants == Grants(readable=(str(home / "cache"),))
    (folder / "consilience.toml").write_text('[sandbox]\nenvironment = { A = "1" }\n')
    assert load_problem(folder).problem.environment == {"A": "1"}
    (folder / "consilience.toml").write_text("[limits]\nwall_seconds = 1\n")
    with pytest.raises(ProblemError, match=r"consilience.toml: limits"):
        load_problem(folder)
