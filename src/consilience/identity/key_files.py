"""Key files: 32 secret bytes with their public name, mode 0600, in the clear or under a passphrase (keystore v3).

Rules:
    1. A key file that others can read is refused, never used and then complained about.
    2. A file is written whole under another name, made durable, and put in its place by one rename or link.
    3. With a passphrase the file is a Web3 Secret Storage v3 JSON, which wallets read as well; fields of ours beside
       it (`did`, `author`, `origin`) are public.
    4. A locked file is unlocked once in a process: scrypt with n = 2^18 takes one to two seconds.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from msgspec import Struct

from consilience.core.errors import IdentityError

FORMAT = "consilience-key-v1"
_OTHERS = 0o077
_LARGEST_BYTES = 16 * 2**20  # an exported key carries its identity's events; the key alone has under a thousand bytes
_SECRET_BYTES = 32
_DEEPEST = 64  # an export nests under ten; brackets within its texts are paired
_BRACKET = re.compile(r"[\[\]{}]")
_RESTORE = "restore it from a backup, or name another"

_unlocked: dict[tuple[str, int, int, str], bytes] = {}  # by path, inode, time of change and passphrase


class KeyFile(Struct, frozen=True, kw_only=True):
    """What a key file says without being unlocked.

    Attributes:
        did: of the key; "" in a file of another program, which says it only once it is unlocked.
        author: first DID of the identity; "" where that is `did` itself.
        origin: `generated` or `imported`.
        locked: whether it is under a passphrase.
        document: all of it.
    """

    did: str
    author: str
    origin: str
    locked: bool
    document: dict[str, Any]

    @property
    def first_did(self) -> str:
        """Whose key this is: the DID under which its events stand, for life; "" where only the open file tells."""
        return self.author or self.did


def describe(path: Path) -> KeyFile:
    """Read the public part of a key file.

    Raises:
        IdentityError: absent, open to others, or no key file.
    """
    document = read_document(path)
    if "crypto" not in document and document.get("format") != FORMAT:
        raise IdentityError(f"{path} is not a key file", hint=_RESTORE)
    public = {name: document.get(name, "") for name in ("did", "author", "origin")}
    if not all(isinstance(value, str) for value in public.values()):
        raise IdentityError(f"{path} is not a key file", hint=_RESTORE)
    origin = public.pop("origin") or "generated"
    return KeyFile(**public, origin=origin, locked="crypto" in document, document=document)


def _shallow(text: str) -> str:
    """Return the text, unless it nests so deep that reading it may overflow the C stack.

    Raises:
        ValueError: it does.
    """
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            raise ValueError("it is nested too deep")
    return text


def read_document(path: Path) -> dict[str, Any]:
    """Read a private JSON file.

    Raises:
        IdentityError: absent, too large, open to others, or not a JSON object.
    """
    try:
        if not path.exists():
            hint = "check the name; `consilience id new` makes a key, and so does the first run"
            raise IdentityError(f"there is no key file at {path}", hint=hint)
        if not path.is_file():
            raise IdentityError(f"{path} is not a file", hint="name the key file itself with --key")
        if path.stat().st_mode & _OTHERS:
            raise IdentityError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        if path.stat().st_size > _LARGEST_BYTES:
            raise IdentityError(f"{path} is not a key file", hint=_RESTORE)
        document = json.loads(_shallow(path.read_text()))
    except (OSError, ValueError) as error:
        raise IdentityError(
            f"cannot read the key file {path}: {error}", hint="check that it exists and is whole"
        ) from error
    if not isinstance(document, dict):
        raise IdentityError(f"{path} is not a key file", hint=_RESTORE)
    return document


def read_secret(path: Path, passphrase: str) -> bytes:
    """Return the 32 secret bytes in a key file.

    Raises:
        IdentityError: no key file, locked without a passphrase, or the passphrase is wrong.
    """
    file = describe(path)
    if file.locked:
        return _unlock(path, file.document, passphrase)
    try:
        secret = bytes.fromhex(file.document["private_key"])
    except (KeyError, ValueError, TypeError) as error:
        raise IdentityError(f"{path} holds no private key", hint=_RESTORE) from error
    if len(secret) != _SECRET_BYTES:
        raise IdentityError(f"{path} holds no private key", hint=_RESTORE)
    return secret


def _unlock(path: Path, document: dict[str, Any], passphrase: str) -> bytes:
    if not passphrase:
        raise IdentityError(
            f"{path} is locked", hint="set CONSILIENCE_PASSPHRASE; `consilience id` also takes --passphrase-file"
        )
    status = path.stat()
    known = (str(path), status.st_ino, status.st_mtime_ns, passphrase)
    if known not in _unlocked:
        _unlocked[known] = _decrypt(path, document, passphrase)
    return _unlocked[known]


def _decrypt(path: Path, document: dict[str, Any], passphrase: str) -> bytes:
    from eth_keyfile.keyfile import decode_keyfile_json  # noqa: PLC0415  a heavy import that only locked keys need

    try:
        return bytes(decode_keyfile_json(document, passphrase.encode()))
    except (KeyError, TypeError, AttributeError) as error:
        raise IdentityError(f"{path} is not a key file", hint=_RESTORE) from error
    except ValueError as error:
        raise IdentityError(
            f"wrong passphrase for {path}",
            hint="check CONSILIENCE_PASSPHRASE, or the file that --passphrase-file names",
        ) from error


def key_document(secret: bytes, passphrase: str, public: dict[str, str]) -> dict[str, Any]:
    """Return the document that keeps a secret; `public` fields stand beside it, empty ones are left out."""
    named = {name: value for name, value in public.items() if value}
    if not passphrase:
        return {"format": FORMAT, **named, "private_key": secret.hex()}
    from eth_keyfile.keyfile import create_keyfile_json  # noqa: PLC0415  a heavy import that only locked keys need

    return {**create_keyfile_json(secret, passphrase.encode(), kdf="scrypt"), **named}


def write_new(path: Path, document: dict[str, Any]) -> bool:
    """Write a private file unless there is one; tell whether this call made it.

    Raises:
        IdentityError: it cannot be written.
    """
    temporary = _write_beside(path, document)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False  # another first run made one at the same moment: use that
    except OSError as error:
        raise _cannot_make(path, error) from error
    finally:
        temporary.unlink()
    sync_folder(path.parent)
    return True


def write_over(path: Path, document: dict[str, Any]) -> None:
    """Write a private file in the place of the one before, if any: whole, or not at all.

    Raises:
        IdentityError: it cannot be written.
    """
    temporary = _write_beside(path, document)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink()
        raise _cannot_make(path, error) from error
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_beside(path: Path, document: dict[str, Any]) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(document, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _cannot_make(path, error) from error
    return temporary


def _cannot_make(path: Path, error: OSError) -> IdentityError:
    return IdentityError(f"cannot make a key at {path}: {error}", hint="name a writable place with --key")
