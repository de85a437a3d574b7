"""A witness and the logs that it follows: what it cosigns, what it refuses, and what it keeps."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest

from consilience.core.errors import ConsilienceError, EnvironmentLacksError, ProofError, UsageError
from consilience.identity.witness_keys import WitnessKey, WitnessVerifier
from consilience.journal.merkle import consistency_path, leaf_hash, tree_root
from consilience.journal.notes import (
    Checkpoint,
    Note,
    cosignatures,
    equivocation,
    read_note,
    read_signature,
    sign_checkpoint,
    write_note,
)
from consilience.node import witnessing
from consilience.node.witnessing import Cosigned, read_request, witness
from consilience.testing.trees import MemoryTree

LOG, WITNESS = WitnessKey(b"\x01" * 32), WitnessKey(b"\x02" * 32)
ORIGIN = "consilience/feed"


class Stopped:
    """A clock that stands still."""

    def now_ms(self) -> int:
        return 1_700_000_000_123

    def elapsed_ms(self) -> int:
        return 0


def tree(size: int, salt: str = "") -> MemoryTree:
    return MemoryTree(leaf_hash(sha256(f"{salt}{number}".encode()).digest()) for number in range(size))


def noted(size: int, salt: str = "", origin: str = ORIGIN) -> Note:
    return sign_checkpoint(Checkpoint(origin=origin, size=size, root=tree_root(size, tree(size, salt))), LOG)


def asked(old: int, size: int, salt: str = "", origin: str = ORIGIN) -> str:
    path = consistency_path(old, size, tree(size, salt)) if old <= size else []
    lines = "".join(base64.b64encode(node).decode() + "\n" for node in path)
    return f"old {old}\n{lines}\n{write_note(noted(size, salt, origin))}"


def cosigned(folder: Path, text: str, key: str = "") -> Cosigned:
    return witness(read_request(text), folder, WITNESS, Stopped(), key)


def conflicts(folder: Path) -> list[str]:
    return sorted(path.read_text() for path in folder.glob("*/conflict-*.note"))


@pytest.fixture
def followed(tmp_path: Path) -> Path:
    """A witness that cosigned size 20."""
    cosigned(tmp_path, asked(0, 20), LOG.did)
    return tmp_path


def test_a_new_log_needs_its_key_and_then_no_more(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is new here"):
        cosigned(tmp_path, asked(0, 20))
    assert cosigned(tmp_path, asked(0, 20), LOG.did).before == 0
    assert cosigned(tmp_path, asked(20, 33)).before == 20


def test_the_cosignature_holds_and_says_when(tmp_path: Path) -> None:
    done = cosigned(tmp_path, asked(0, 20), LOG.did)
    line = read_signature(done.cosignature.removesuffix("\n"))
    (found,) = cosignatures(Note(text=noted(20).text, signatures=(line,)), WitnessVerifier())
    assert (found.key, found.time) == (WITNESS.did, 1_700_000_000)


def test_the_same_head_is_cosigned_again(followed: Path) -> None:
    assert cosigned(followed, asked(20, 20)).size == 20
    assert cosigned(followed, asked(0, 20)).size == 20
    assert conflicts(followed) == []


def test_a_smaller_tree_is_refused_and_kept(followed: Path) -> None:
    with pytest.raises(ProofError, match="size 12, and one of size 20 was cosigned"):
        cosigned(followed, asked(0, 12))
    assert conflicts(followed) == sorted([write_note(noted(20)), write_note(noted(12))])


def test_a_rewritten_tree_is_refused_and_kept(followed: Path) -> None:
    with pytest.raises(ProofError, match="does not continue"):
        cosigned(followed, asked(20, 30, "forged"))
    assert conflicts(followed) == sorted([write_note(noted(20)), write_note(noted(30, "forged"))])
    assert cosigned(followed, asked(20, 30)).size == 30


def test_two_roots_for_one_size_are_proof(followed: Path) -> None:
    with pytest.raises(ProofError, match="prove equivocation") as refused:
        cosigned(followed, asked(20, 20, "forged"))
    assert refused.value.exit_code == 3
    first, second = map(read_note, conflicts(followed))
    assert equivocation(first, second, LOG.did, WitnessVerifier())
    assert str(followed) in refused.value.message


def test_a_proof_from_another_size_is_asked_for_again_with_the_right_one(followed: Path) -> None:
    for old in (0, 19, 21):
        with pytest.raises(UsageError, match="size 20 was cosigned last") as refused:
            cosigned(followed, asked(old, 40))
        assert "--since 20" in refused.value.hint
    assert conflicts(followed) == []


def test_a_wrong_or_missing_proof_is_refused(followed: Path) -> None:
    first, _, rest = asked(20, 40).partition("\n")
    for text in (first + "\n" + rest.split("\n", 1)[1], f"old 20\n\n{write_note(noted(40))}"):
        with pytest.raises(ProofError, match="does not continue"):
            cosigned(followed, text)


def test_a_first_checkpoint_takes_no_proof_nodes(tmp_path: Path) -> None:
    lines = base64.b64encode(b"\x00" * 32).decode()
    with pytest.raises(ProofError, match="does not continue"):
        cosigned(tmp_path, f"old 0\n{lines}\n\n{write_note(noted(20))}", LOG.did)


def test_another_key_than_the_one_it_is_followed_under_is_refused(followed: Path) -> None:
    with pytest.raises(ProofError, match="is followed under"):
        cosigned(followed, asked(20, 40), WITNESS.did)


def test_a_note_of_another_signer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="is not signed by"):
        cosigned(tmp_path, asked(0, 20), WITNESS.did)
    with pytest.raises(UsageError, match="--key"):
        cosigned(tmp_path, asked(0, 20), "did:key:nonsense")
    assert not list(tmp_path.glob("*/followed.json"))


def test_other_logs_of_the_same_key_are_told(followed: Path) -> None:
    assert cosigned(followed, asked(0, 5, origin="consilience/other"), LOG.did).elsewhere == (ORIGIN,)


def test_what_was_cosigned_is_on_disk_before_the_cosignature_exists(
    followed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def spying(note: Note, signer: WitnessKey, time: int) -> object:
        (kept,) = followed.glob("*/followed.json")
        seen.append(int(json.loads(kept.read_text())["note"].split("\n")[1]))
        return real(note, signer, time)

    real = witnessing.cosign
    monkeypatch.setattr(witnessing, "cosign", spying)
    cosigned(followed, asked(20, 25))
    assert seen == [25]


def test_without_a_place_to_keep_it_nothing_is_cosigned(followed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(path: Path, text: str) -> None:
        raise EnvironmentLacksError(f"cannot write {path}")

    monkeypatch.setattr(witnessing, "write_durably", refusing)
    with pytest.raises(EnvironmentLacksError):
        cosigned(followed, asked(20, 25))


def test_a_spoilt_memory_cosigns_nothing(followed: Path) -> None:
    (kept,) = followed.glob("*/followed.json")
    kept.write_text("{")
    with pytest.raises(ProofError, match="cannot be read"):
        cosigned(followed, asked(20, 25))


def test_of_two_requests_at_once_only_what_continues_is_cosigned(followed: Path) -> None:
    done: list[str] = []

    def ask(salt: str) -> None:
        try:
            done.append(str(cosigned(followed, asked(20, 21 + len(salt), salt)).size))
        except ConsilienceError as error:
            done.append(error.kind)

    threads = [Thread(target=ask, args=(salt,)) for salt in ("", "forged", "")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.count("21") == 2
    assert "27" not in done


@pytest.mark.parametrize(
    "text",
    [
        "",
        "old\n\n",
        "old 03\n\n" + write_note(noted(20)),
        "old -1\n\n" + write_note(noted(20)),
        "old 3 \n\n" + write_note(noted(20)),
        "old 3\nAAAA\n\n" + write_note(noted(20)),
        "old 3\n" + (base64.b64encode(bytes(32)).decode() + "\n") * 64 + "\n" + write_note(noted(20)),
        "old 3\n" + write_note(noted(20)),
        write_note(noted(20)),
        "old 3\n\n" + noted(20).text,
        "old 3\n\n" + write_note(noted(20)) + "x" * 200_000,
    ],
)
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        read_request(text)
