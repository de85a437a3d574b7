"""Signed notes against published vectors, and what is refused."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest

from consilience.core.errors import IdentityError, ProofError
from consilience.identity.witness_keys import WitnessKey, WitnessVerifier, encode_ed25519
from consilience.journal.notes import (
    Checkpoint,
    Note,
    NoteSignature,
    cosign,
    cosignatures,
    equivocation,
    log_fault,
    origin_of,
    read_checkpoint,
    read_note,
    read_signature,
    sign_checkpoint,
    signature_line,
    with_cosignatures,
    write_note,
)

VERIFIER = WitnessVerifier()
LOG, WITNESS = WitnessKey(b"\x01" * 32), WitnessKey(b"\x02" * 32)
HEAD = Checkpoint(origin="consilience/feed", size=3, root=b"\x05" * 32)

# The example of golang.org/x/mod/sumdb/note, and a checkpoint of a public log with a public witness's cosignature.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
LOG_KEY = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
WITNESS_KEY = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
PUBLIC_NOTE = (
    "arche2025h1.staging.ct.transparency.dev\n"
    "1432088532\n"
    "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n"
    "\n"
    "— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7X"
    "UlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n"
    "— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/"
    "KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n"
)


class NamedVerifier(WitnessVerifier):
    """Knows a key of others by its name, as C2SP verifier keys give it."""

    def __init__(self, vkey: str) -> None:
        self.name, self.key_id, data = vkey.split("+", 2)
        self.kind, public = base64.b64decode(data)[0], base64.b64decode(data)[1:]
        self.did = encode_ed25519(public)

    def public_bytes(self, did: str) -> bytes:
        if did != self.name:
            raise IdentityError(f"{did} is another")
        return super().public_bytes(self.did)

    def check(self, did: str, signature: bytes, data: bytes) -> bool:
        return super().check(self.did, signature, data)


def test_the_note_of_another_implementation_reads_and_verifies() -> None:
    verifier = NamedVerifier(GO_KEY)
    note = read_note(GO_NOTE)
    (signature,) = note.signatures
    assert write_note(note) == GO_NOTE
    assert (signature.name, signature.key_id.hex()) == (verifier.name, verifier.key_id)
    assert verifier.check(signature.name, signature.data, note.text.encode())


def test_a_public_logs_checkpoint_is_signed_by_its_key() -> None:
    verifier = NamedVerifier(LOG_KEY)
    note = read_note(PUBLIC_NOTE)
    assert read_checkpoint(note).size == 1432088532
    assert log_fault(note, verifier.name, verifier) == ""
    changed = read_note(PUBLIC_NOTE.replace("1432088532", "1432088533"))
    assert "does not hold" in log_fault(changed, verifier.name, verifier)


def test_a_public_witnesss_cosignature_holds() -> None:
    verifier = NamedVerifier(WITNESS_KEY)
    (found,) = cosignatures(read_note(PUBLIC_NOTE), verifier)
    assert (found.key, found.time) == ("remora.n621.de", 0x6A122120)
    with pytest.raises(ProofError, match="does not hold"):
        cosignatures(read_note(PUBLIC_NOTE.replace("1432088532", "1432088533")), verifier)


def test_our_lines_are_what_the_specifications_say_byte_for_byte() -> None:
    note = sign_checkpoint(HEAD, LOG)
    text = b"consilience/feed\n3\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n"
    key_id = sha256(b"consilience/feed\n\x01" + LOG.public_bytes).digest()[:4]
    assert note.text.encode() == text
    assert note.signatures[0].key_id + note.signatures[0].data == key_id + LOG.sign_bytes(text)
    made = cosign(note, WITNESS, 1679315147)
    signed = WITNESS.sign_bytes(b"cosignature/v1\ntime 1679315147\n" + text)
    name = WITNESS.did
    assert made.key_id == sha256(name.encode() + b"\n\x04" + WITNESS.public_bytes).digest()[:4]
    assert made.data == bytes.fromhex("00000000641850cb") + signed
    assert signature_line(made) == f"— {name} {base64.b64encode(made.key_id + made.data).decode()}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n",
        "a\n\n",
        "a\n\nb\n",
        "a\n\n— name AAAA\n",
        "a\n\n— name AAAAAAA=",
        "a\n\n— na+me AAAAAAA=\n",
        "a\n\n— AAAAAAA=\n",
        "a\n\n— na me AAAAAAA=\n",
        "a\n\n— name  AAAAAAA=\n",
        "a\n\n— name AAAAAAB=\n",
        "a\n\n— name AAAAAAA=\n\n",
        "a\r\n\n— name AAAAAAA=\n",
        "a\n\n- name AAAAAAA=\n",
        "a" * 70000 + "\n\n— name AAAAAAA=\n",
    ],
)
def test_what_is_not_spelled_as_a_note_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        read_note(text)


def test_a_text_with_empty_lines_ends_at_the_last_one() -> None:
    assert read_note("a\n\nb\n\n— name AAAAAAA=\n").text == "a\n\nb\n"


@pytest.mark.parametrize("size", ["-1", "03", "+3", "3 ", "٣", "9" * 30, str(2**63), ""])
def test_sizes_have_one_spelling(size: str) -> None:
    text = f"origin\n{size}\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n"
    with pytest.raises(ProofError):
        read_checkpoint(Note(text=text, signatures=()))


@pytest.mark.parametrize("root", ["AAAA", "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQV=", "x" * 44, ""])
def test_roots_are_hashes_in_base64(root: str) -> None:
    with pytest.raises(ProofError):
        read_checkpoint(Note(text=f"origin\n3\n{root}\n", signatures=()))


def test_lines_after_the_third_are_signed_and_mean_nothing() -> None:
    text = sign_checkpoint(HEAD, LOG).text + "more\n"
    assert read_checkpoint(Note(text=text, signatures=())) == HEAD


def test_another_key_or_a_cosignature_is_no_signature_of_the_log() -> None:
    note = sign_checkpoint(HEAD, LOG)
    assert "is not signed by" in log_fault(note, WITNESS.did, VERIFIER)
    only = Note(text=note.text, signatures=(cosign(note, LOG, 5),))
    assert "is not signed by" in log_fault(only, LOG.did, VERIFIER)


def test_a_log_signature_under_a_witnesss_name_is_no_cosignature() -> None:
    head = Checkpoint(origin=WITNESS.did, size=3, root=b"\x05" * 32)
    with pytest.raises(ProofError, match="does not hold"):
        cosignatures(sign_checkpoint(head, WITNESS), VERIFIER)


def test_a_cosignature_with_another_time_does_not_hold() -> None:
    note = sign_checkpoint(HEAD, LOG)
    made = cosign(note, WITNESS, 5)
    later = NoteSignature(name=made.name, key_id=made.key_id, data=(6).to_bytes(8, "big") + made.data[8:])
    with pytest.raises(ProofError, match="does not hold"):
        cosignatures(with_cosignatures(note, (later,)), VERIFIER)


def test_a_later_cosignature_of_a_witness_takes_the_place_of_the_earlier() -> None:
    note = sign_checkpoint(HEAD, LOG)
    twice = with_cosignatures(with_cosignatures(note, (cosign(note, WITNESS, 5),)), (cosign(note, WITNESS, 9),))
    assert [each.time for each in cosignatures(twice, VERIFIER)] == [9]
    assert len(twice.signatures) == 2


def test_two_roots_for_one_size_under_one_origin_prove_equivocation() -> None:
    one = sign_checkpoint(HEAD, LOG)
    other = sign_checkpoint(Checkpoint(origin=HEAD.origin, size=3, root=b"\x06" * 32), LOG)
    assert equivocation(one, other, LOG.did, VERIFIER)


@pytest.mark.parametrize(
    "other",
    [
        HEAD,
        Checkpoint(origin=HEAD.origin, size=4, root=b"\x06" * 32),
        Checkpoint(origin=origin_of("another"), size=3, root=b"\x06" * 32),
    ],
)
def test_what_a_log_may_say_is_no_equivocation(other: Checkpoint) -> None:
    assert not equivocation(sign_checkpoint(HEAD, LOG), sign_checkpoint(other, LOG), LOG.did, VERIFIER)


def test_notes_of_another_key_prove_nothing_against_this_one() -> None:
    other = sign_checkpoint(Checkpoint(origin=HEAD.origin, size=3, root=b"\x06" * 32), WITNESS)
    assert not equivocation(sign_checkpoint(HEAD, LOG), other, LOG.did, VERIFIER)


def test_a_line_reads_back() -> None:
    made = cosign(sign_checkpoint(HEAD, LOG), WITNESS, 5)
    assert read_signature(signature_line(made).removesuffix("\n")) == made
