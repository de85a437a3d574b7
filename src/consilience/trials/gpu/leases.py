"""Leases of devices among the processes of one user: at any moment a device has one holder at most.

Rules:
    1. Acquiring is one transaction: all the devices that are asked for, or none.
    2. A lease ends when it is released, when its holder is dead, or when its time has passed without a renewal.
    3. A lease is its token: of two in one process, each keeps the other out.
    4. Times are milliseconds of the system's monotonic clock, which all processes of one boot share; a lease of
       another boot is void.

Data flow: UUIDs -> `Leases.acquire` -> Lease -> `renew`... -> `release`.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError
from consilience.core.ports import Clock
from consilience.trials.gpu.owners import Owner, is_alive, this_process

# Long enough to survive a machine that stalls for a while (renewed three times within it), short enough that a
# device whose holder cannot be seen comes back within a minute. A choice, not a measurement.
TTL_MS = 60_000
_WAIT_SECONDS = 30.0  # for another process's transaction, which takes milliseconds

_TABLE = """
CREATE TABLE IF NOT EXISTS lease (
    uuid TEXT PRIMARY KEY, token TEXT NOT NULL,
    pid INTEGER NOT NULL, started INTEGER NOT NULL, boot TEXT NOT NULL, namespace TEXT NOT NULL,
    acquired_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL
)"""
_COLUMNS = "uuid, token, pid, started, boot, namespace, acquired_ms, expires_ms"


class Holding(Struct, frozen=True, kw_only=True):
    """One device with its holder, as the table has it."""

    uuid: str
    token: str
    owner: Owner
    acquired_ms: int
    expires_ms: int


class Lease(Struct, frozen=True, kw_only=True):
    """Devices that are ours until `expires_ms`, and longer by renewal."""

    token: str
    uuids: tuple[str, ...]
    expires_ms: int


class Leases:
    """The table, for one process. Opens its file anew for each call, so threads may share it."""

    def __init__(
        self,
        file: Path,
        clock: Clock,
        *,
        owner: Owner | None = None,
        alive: Callable[[Owner], bool] = is_alive,
        ttl_ms: int = TTL_MS,
    ) -> None:
        self._file = file
        self._clock = clock
        self._owner = owner or this_process()
        self._alive = alive
        self._ttl_ms = ttl_ms

    def acquire(self, uuids: Sequence[str], count: int) -> Lease | None:
        """Lease the first `count` of these devices that nobody holds, or none when fewer are free.

        Raises:
            EnvironmentLacksError: the table cannot be read or written.
        """
        with self._transaction() as connection:
            now = self._clock.elapsed_ms()
            held = {holding.uuid for holding in self._holdings(connection, now)}
            free = [uuid for uuid in uuids if uuid not in held][:count]
            if len(free) < count:
                return None
            lease = Lease(token=secrets.token_hex(16), uuids=tuple(free), expires_ms=now + self._ttl_ms)
            rows = [(uuid, lease.token, *_columns(self._owner), now, lease.expires_ms) for uuid in free]
            connection.executemany(f"INSERT OR REPLACE INTO lease ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)", rows)  # noqa: S608
            return lease

    def renew(self, lease: Lease) -> Lease | None:
        """Extend a lease by a whole term from now; None when a device of it has gone to another holder.

        One whose time has passed is renewed too, as long as nobody has taken a device of it over.

        Raises:
            EnvironmentLacksError: the table cannot be read or written.
        """
        with self._transaction() as connection:
            expires = self._clock.elapsed_ms() + self._ttl_ms
            found = connection.execute("SELECT count(*) FROM lease WHERE token = ?", (lease.token,)).fetchone()
            if found != (len(lease.uuids),):
                return None
            connection.execute("UPDATE lease SET expires_ms = ? WHERE token = ?", (expires, lease.token))
            return Lease(token=lease.token, uuids=lease.uuids, expires_ms=expires)

    def release(self, lease: Lease) -> None:
        """Give the devices back; those that another holder has are left alone.

        Raises:
            EnvironmentLacksError: the table cannot be read or written.
        """
        with self._transaction() as connection:
            connection.execute("DELETE FROM lease WHERE token = ?", (lease.token,))

    def holdings(self) -> tuple[Holding, ...]:
        """Return the leases in force, by UUID; makes no file where there is none.

        Raises:
            EnvironmentLacksError: the table cannot be read.
        """
        if not self._file.exists():
            return ()
        with self._transaction() as connection:
            return tuple(self._holdings(connection, self._clock.elapsed_ms()))

    def _holdings(self, connection: sqlite3.Connection, now: int) -> list[Holding]:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM lease ORDER BY uuid").fetchall()  # noqa: S608 - constants
        found = [_holding(row) for row in rows]
        return [holding for holding in found if now < holding.expires_ms and self._alive(holding.owner)]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the table's write lock: what is read in here is true until it is committed."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=_WAIT_SECONDS, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TABLE)
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise EnvironmentLacksError(
                f"the leases of devices in {self._file} cannot be used: {error}",
                hint="make its folder writable; where the file is damaged, remove it while no run uses a device",
            ) from error


def _columns(owner: Owner) -> tuple[int, int, str, str]:
    return owner.pid, owner.started, owner.boot, owner.namespace


def _holding(row: tuple[Any, ...]) -> Holding:
    uuid, token, pid, started, boot, namespace, acquired_ms, expires_ms = row
    owner = Owner(pid=pid, started=started, boot=boot, namespace=namespace)
    return Holding(uuid=uuid, token=token, owner=owner, acquired_ms=acquired_ms, expires_ms=expires_ms)
