"""The key file: made on first use with mode 0600, in the clear or under a passphrase (keystore v3).

Rules:
    1. A key file that others can read is refused, never used and then complained about.
    2. A key is written to a new file and linked into place, so that two first runs keep one key.
    3. With a passphrase the file is a Web3 Secret Storage v3 JSON, which wallets read as well.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from consilience.core.errors import IdentityError
from consilience.identity.keys import Identity

_FORMAT = "consilience-key-v1"
_OTHERS = 0o077
_LARGEST_BYTES = 65536  # a key file has under a thousand


def load_or_create(path: Path, passphrase: str = "") -> Identity:
    """Return the identity kept at `path`, making it on first use.

    Raises:
        IdentityError: the file cannot be written or read, is open to others, or the passphrase is wrong.
    """
    if not path.exists():
        _create(path, passphrase)
    return load(path, passphrase)


def load(path: Path, passphrase: str = "") -> Identity:
    """Return the identity kept at `path`.

    Raises:
        IdentityError: see `load_or_create`; also when there is no such file.
    """
    document = _read(path)
    if "crypto" in document:
        return _unlock(path, document, passphrase)
    if document.get("format") != _FORMAT:
        raise IdentityError(f"{path} is not a key file", hint="restore it from a backup, or name another")
    try:
        return Identity(PrivateKey(bytes.fromhex(document["private_key"])))
    except (KeyError, ValueError, TypeError) as error:
        raise IdentityError(f"{path} holds no private key", hint="restore it from a backup, or name another") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise IdentityError(f"{path} is not a file", hint="name the key file itself with --key")
        if path.stat().st_mode & _OTHERS:
            raise IdentityError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        if path.stat().st_size > _LARGEST_BYTES:
            raise IdentityError(f"{path} is not a key file", hint="restore it from a backup, or name another")
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise IdentityError(
            f"cannot read the key file {path}: {error}", hint="check that it exists and is whole"
        ) from error
    if not isinstance(document, dict):
        raise IdentityError(f"{path} is not a key file", hint="restore it from a backup, or name another")
    return document


def _unlock(path: Path, document: dict[str, Any], passphrase: str) -> Identity:
    from eth_keyfile.keyfile import decode_keyfile_json  # noqa: PLC0415  a heavy import that only locked keys need

    if not passphrase:
        raise IdentityError(f"{path} is locked", hint="set CONSILIENCE_PASSPHRASE")
    try:
        return Identity(PrivateKey(decode_keyfile_json(document, passphrase.encode())))
    except (KeyError, TypeError, AttributeError) as error:
        raise IdentityError(f"{path} is not a key file", hint="restore it from a backup, or name another") from error
    except ValueError as error:
        raise IdentityError(f"wrong passphrase for {path}", hint="check CONSILIENCE_PASSPHRASE") from error


def _create(path: Path, passphrase: str) -> None:
    identity = Identity.generate()
    text = json.dumps(_document(identity, passphrase), indent=1)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        _link_if_absent(temporary, path)
    except OSError as error:
        raise IdentityError(f"cannot make a key at {path}: {error}", hint="name a writable place with --key") from error


def _link_if_absent(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass  # another first run made one at the same moment: use that
    finally:
        temporary.unlink()


def _document(identity: Identity, passphrase: str) -> dict[str, Any]:
    if not passphrase:
        return {"format": _FORMAT, "did": identity.did, "private_key": identity.secret_bytes().hex()}
    from eth_keyfile.keyfile import create_keyfile_json  # noqa: PLC0415  a heavy import that only locked keys need

    return dict(create_keyfile_json(identity.secret_bytes(), passphrase.encode(), kdf="scrypt"))
