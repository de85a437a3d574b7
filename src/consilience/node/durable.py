"""Small files that must survive a power cut: written whole, or not at all.

Data flow: text -> a new file beside -> fsync -> renamed into place -> fsync of the folder.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from consilience.core.errors import EnvironmentLacksError
from consilience.identity.key_files import sync_folder


def draft_of(path: Path) -> Path:
    """Name a draft beside a file, by chance: in a folder that others may write, nobody can lay a link there before.

    Open it exclusively (mode ``x``), and `Path.replace` the file by it.
    """
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")


def write_durably(path: Path, text: str) -> None:
    """Put a text in a file of the user's alone, and return only when it is on the disk.

    Raises:
        EnvironmentLacksError: it cannot be written.
    """
    temporary = draft_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EnvironmentLacksError(
            f"cannot write {path}: {error}", hint="make room, or the folder writable"
        ) from error
