"""Time stamps of a local authority: asked for, kept, checked, and refused where they do not hold."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import time_authority

from consilience.core.errors import EnvironmentLacksError, ProofError, UsageError
from consilience.node.timestamps import ask, check_timestamp

pytestmark = pytest.mark.skipif(not time_authority.available(), reason="openssl is not installed")
TEXT = "consilience/feed\n3\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    time_authority.make_authority(folder)
    return folder


@pytest.fixture(scope="module")
def response(authority: Path) -> bytes:
    with time_authority.serving(authority) as url:
        return ask(url, TEXT)


def test_a_stamp_holds_under_its_root(authority: Path, response: bytes) -> None:
    found = check_timestamp(response, TEXT, (authority / "root.pem").read_bytes())
    assert found.trusted
    assert found.at.startswith("20")


def test_without_a_root_only_what_it_is_about_is_checked(response: bytes) -> None:
    assert not check_timestamp(response, TEXT, None).trusted
    with pytest.raises(ProofError, match="another text"):
        check_timestamp(response, TEXT + "x", None)


def test_a_stamp_of_another_text_is_refused(authority: Path, response: bytes) -> None:
    with pytest.raises(ProofError, match="another text"):
        check_timestamp(response, TEXT + "x", (authority / "root.pem").read_bytes())


def test_a_stamp_of_another_authority_is_refused(tmp_path: Path, response: bytes) -> None:
    other = time_authority.make_authority(tmp_path, "authority")
    with pytest.raises(ProofError, match="does not hold"):
        check_timestamp(response, TEXT, other.read_bytes())


def test_changed_bytes_are_refused(authority: Path, response: bytes) -> None:
    root = (authority / "root.pem").read_bytes()
    about = response.index(sha256(TEXT.encode()).digest())
    for at in (len(response) - 1, len(response) - 30, about, about + 60):  # the signature, the text's hash, the time
        changed = response[:at] + bytes([response[at] ^ 1]) + response[at + 1 :]
        with pytest.raises(ProofError):
            check_timestamp(changed, TEXT, root)


@pytest.mark.parametrize("reply", [b"", b"nonsense", bytes.fromhex("300530030201023000")])
def test_what_is_no_stamp_is_refused(authority: Path, reply: bytes) -> None:
    with time_authority.serving(authority, replay=reply) as url, pytest.raises(ProofError):
        ask(url, TEXT)


def test_an_answer_to_an_earlier_question_is_refused(authority: Path, response: bytes) -> None:
    with (
        time_authority.serving(authority, replay=response) as url,
        pytest.raises(ProofError, match="another question"),
    ):
        ask(url, TEXT)


def test_an_answer_without_end_is_cut_off(authority: Path) -> None:
    with time_authority.serving(authority, replay=b"0" * (2**20 + 2)) as url, pytest.raises(ProofError, match="more"):
        ask(url, TEXT)


def test_nobody_at_the_address_is_told() -> None:
    with pytest.raises(EnvironmentLacksError, match="no answer"):
        ask("http://127.0.0.1:9/", TEXT)
    with pytest.raises(UsageError):
        ask("file:///etc/passwd", TEXT)


def test_a_root_that_is_none_is_told(response: bytes) -> None:
    with pytest.raises(UsageError, match="--tsa-root"):
        check_timestamp(response, TEXT, b"nonsense")
