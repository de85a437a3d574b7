"""Key files: the promised key, the witness key, passphrases, and what a rotation that was cut short leaves."""

import json
import stat
from pathlib import Path

import pytest

from consilience.core.errors import IdentityError
from consilience.identity import key_files
from consilience.identity.did import promise_of
from consilience.identity.key_files import describe
from consilience.identity.keystore import (
    after_path,
    begin_rotation,
    ensure_next_key,
    ensure_witness_key,
    load,
    load_or_create,
    next_path,
    promised_key,
    require_settled,
    rotating_path,
    set_passphrase,
    settle_rotation,
    witness_path,
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "key.json"
    load_or_create(path)
    return path


def test_the_promised_key_and_the_witness_key_are_made_once_and_private(key: Path) -> None:
    promise, witness = ensure_next_key(key), ensure_witness_key(key)
    assert ensure_next_key(key) == promise == promise_of(load(next_path(key)).did)
    assert ensure_witness_key(key).did == witness.did
    assert sorted(path.name for path in key.parent.iterdir()) == ["key.json", "key.next.json", "witness.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in key.parent.iterdir()} == {0o600}
    assert "address" not in json.loads(witness_path(key).read_text())


def test_each_of_two_keys_in_one_folder_has_its_own_files(key: Path) -> None:
    agent = key.with_name("agent.json")
    load_or_create(agent)
    assert ensure_next_key(agent) != ensure_next_key(key)
    assert ensure_witness_key(agent).did != ensure_witness_key(key).did


def test_a_rotation_keeps_the_author_and_where_the_key_came_from(key: Path) -> None:
    first, promise = load(key), ensure_next_key(key)
    taking_over, after = begin_rotation(key, promised_key(next_path(key), promise, ""), first.did, "")
    assert promise_of(taking_over.key_did) == promise
    with pytest.raises(IdentityError, match="under way"):
        load(key)
    settle_rotation(key, taking_over.key_did)
    now = load(key)
    assert (now.did, now.key_did) == (first.did, taking_over.key_did)
    assert ensure_next_key(key) == after
    assert sorted(path.name for path in key.parent.iterdir()) == ["key.json", "key.next.json"]


@pytest.mark.parametrize("lost", ["nothing", "after", "rotating moved"])
def test_settling_goes_by_the_key_in_force(key: Path, lost: str) -> None:
    first, promise = load(key), ensure_next_key(key)
    taking_over, after = begin_rotation(key, promised_key(next_path(key), promise, ""), first.did, "")
    if lost == "after":
        after_path(key).unlink()  # killed between the two files: nothing was signed
    if lost == "rotating moved":
        rotating_path(key).replace(key)  # killed between the two renames: it was signed
    signed = lost == "rotating moved"
    for _ in range(2):
        settle_rotation(key, taking_over.key_did if signed else first.did)
    require_settled(key)
    assert load(key).key_did == (taking_over.key_did if signed else first.did)
    assert ensure_next_key(key) == (after if signed else promise)


def test_a_key_that_is_not_in_force_is_told(key: Path) -> None:
    other = "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"
    with pytest.raises(IdentityError, match="is not the key in force"):
        settle_rotation(key, other)
    with pytest.raises(IdentityError, match="was rotated meanwhile"):
        require_settled(key, other)
    require_settled(key, load(key).key_did)


def test_a_passphrase_is_put_on_all_keys_and_taken_off(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(key)
    promise, witness = ensure_next_key(key), ensure_witness_key(key)
    files = set_passphrase(key, "", "correct horse")
    assert [path.name for path in files] == ["key.json", "key.next.json", "witness.json"]
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert describe(path).locked
        assert "private_key" not in path.read_text()
    assert describe(key).did == before.did  # whose it is can be told without the passphrase
    assert ensure_next_key(key) == promise  # and so can its promise
    assert ensure_witness_key(key, "correct horse").did == witness.did
    document = json.loads(key.read_text())
    key.write_text(json.dumps({name: value for name, value in document.items() if name != "did"}))
    assert describe(key).did == ""  # as an earlier version wrote it
    assert load(key, "correct horse").secret_bytes() == before.secret_bytes()
    assert describe(key).did == before.did

    load(key, "correct horse")

    def decrypt(*_: object) -> bytes:
        raise AssertionError("a key is unlocked once in a process")

    monkeypatch.setattr(key_files, "_decrypt", decrypt)
    assert load(key, "correct horse").did == before.did
    monkeypatch.undo()
    set_passphrase(key, "correct horse", "")
    assert load(key).secret_bytes() == before.secret_bytes()


def test_a_wrong_passphrase_changes_nothing(key: Path) -> None:
    set_passphrase(key, "", "right")
    texts = {path: path.read_text() for path in key.parent.iterdir()}
    with pytest.raises(IdentityError, match="wrong passphrase"):
        set_passphrase(key, "wrong", "")
    assert {path: path.read_text() for path in key.parent.iterdir()} == texts


@pytest.mark.parametrize(
    "change",
    [
        {"did": "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"},
        {"private_key": "00" * 32},
        {"private_key": "11" * 31},
        {"did": 5},
        {"format": "another"},
    ],
)
def test_a_key_file_that_contradicts_itself_is_refused(key: Path, change: dict[str, object]) -> None:
    document = {**json.loads(key.read_text()), **change}
    key.write_text(json.dumps(document))
    with pytest.raises(IdentityError):
        load(key)
