"""The key file: made once, private, optionally locked."""

import os
import stat
from pathlib import Path

import pytest

from consilience.core.errors import IdentityError
from consilience.identity.keystore import load, load_or_create


def test_the_first_run_makes_a_private_key_and_later_runs_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "key.json"
    first = load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create(path).did == first.did
    assert [p.name for p in path.parent.iterdir()] == ["key.json"]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    load_or_create(path)
    path.chmod(0o644)
    with pytest.raises(IdentityError, match="read by others") as caught:
        load(path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_a_passphrase_locks_the_key(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    made = load_or_create(path, "correct horse")
    assert made.secret_bytes().hex() not in path.read_text()
    assert load(path, "correct horse").did == made.did
    with pytest.raises(IdentityError, match="locked"):
        load(path)
    with pytest.raises(IdentityError, match="wrong passphrase"):
        load(path, "wrong")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "consilience-key-v1"}', '{"format": "consilience-key-v1", "private_key": "00"}'],
)
def test_a_damaged_key_file_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(IdentityError):
        load(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(IdentityError, match="cannot make a key"):
        load_or_create(tmp_path / "a" / "key.json")
