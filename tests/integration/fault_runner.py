"""Runs writers into faults under SQLite, one fork each, and prints what was found as one line of JSON each.

    LD_PRELOAD=fault_shim.so python fault_runner.py FOLDER SHIM KIND FIRST LAST STEP SEED [OLDER]

The child writes groups of events to a journal and notes each group that was acknowledged; the fault strikes at call n.
OLDER is a journal of an older format to begin with: opening it for writing upgrades it.
The parent then checks: nothing acknowledged is lost, the journal verifies against the device's marks, opens, and goes
on in a valid chain. Imported once and forked, so that hundreds of points cost seconds.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from consilience.core.bodies import PhaseSwitched
from consilience.core.errors import ConsilienceError, NotFoundError
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.journal.device import read_marks
from consilience.journal.journal import Journal
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.store import Store
from consilience.journal.verify import verify_store
from consilience.testing.clocks import ManualClock

HIVE = "0" * 32
ME = Identity(PrivateKey(b"\x07" * 32))
KINDS = {"kill": 1, "torn": 2, "loss": 3, "ENOSPC": 4, "EIO": 4, "EROFS": 4}
GROUPS, GROUP = 14, 5  # enough for several moves of the log into the file, see CHECKPOINT_PAGES
CHECKPOINT_PAGES = 12
_UNEXPECTED = 99
_OLDER = 8


def write(home: Path, groups: int) -> None:
    """Write groups to the journal; note the last seq after each that was acknowledged."""
    journal = Journal.create(home / "state", ME, ManualClock(0, 1))
    journal.store._connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    try:
        seq = len(journal.enter(HIVE, home / "marks")) - 1
        for group in range(groups):
            for n in range(GROUP):
                journal.put(b"log %d of %d" % (n, group) * 40, salt=b"salt" * (n % 2))
                seq = journal.append(PhaseSwitched(phase="explore", figures={"n": n}, reason="x" * 300)).fields.seq
            journal.commit()
            (home / "acknowledged").write_text(str(seq))
    finally:
        journal.close()


def strike(home: Path, shim: Any, kind: str, call: int, seed: int) -> dict[str, Any]:
    """Let one child write until the fault, and return how it ended."""
    child = os.fork()
    if child == 0:
        code = _UNEXPECTED
        try:
            number = getattr(errno, kind, 0)
            shim.fault_arm(str(home / "state" / JOURNAL_NAME).encode(), KINDS[kind], number, call, seed)
            write(home, GROUPS)
            code = 0
        except ConsilienceError as error:
            (home / "error").write_text(json.dumps([error.kind, error.message, error.hint]))
            code = error.exit_code
        finally:
            (home / "calls").write_text(str(shim.fault_calls()))
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    error = json.loads((home / "error").read_text()) if (home / "error").exists() else None
    return {"kind": kind, "call": call, "status": status, "error": error}


def check(home: Path) -> dict[str, Any]:
    """Check what is on disk, go on with it, and check again."""
    acknowledged = int((home / "acknowledged").read_text()) if (home / "acknowledged").exists() else -1
    before = verified(home)
    write(home, 1)
    after = verified(home)
    return {
        "acknowledged": acknowledged + 1,
        "kept": before[0],
        "faults": [before[1], after[1]],
        "gone_on": after[0] - before[0],
        "formats": [before[2], after[2]],
        "marks": max((mark.seq for mark in read_marks(home / "marks").values()), default=-1) + 1,
    }


def verified(home: Path) -> tuple[int, str, int]:
    """Return how many events there are, the fault, and the file's format."""
    try:
        store = Store.open(home / "state" / JOURNAL_NAME)
    except NotFoundError:
        return 0, "", 0
    try:
        report = verify_store(store, EnvelopeVerifier(), read_marks(home / "marks"))
    finally:
        store.close()
    return report.events, str(report.fault or ""), store.version


def main() -> None:
    folder, shim_path, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    first, last, step, seed = map(int, sys.argv[4:8])
    shim = ctypes.CDLL(shim_path)
    shim.fault_calls.restype = ctypes.c_long
    for call in range(first, last, step):
        home = folder / f"{kind}-{call}"
        (home / "state").mkdir(parents=True)
        if len(sys.argv) > _OLDER:
            shutil.copy(sys.argv[_OLDER], home / "state" / JOURNAL_NAME)
        found = strike(home, shim, kind, call, seed + call)
        try:
            found.update(check(home))
        except ConsilienceError as error:
            found["broken"] = f"{error.kind}: {error.message}"
        print(json.dumps(found), flush=True)
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
