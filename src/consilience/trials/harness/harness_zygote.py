"""The warm process that candidates are forked from: libraries loaded once, then a child for each trial.

It runs inside a sandbox of its own. Each child confines itself further before it reads a line of its program.

Rules:
    1. Nothing secret and nothing of a candidate ever enters this process: a child can read its whole memory.
       The candidate's files come by the child's own channel, after the fork.
    2. A child gets three descriptors and no other: no control socket, nothing of this process's.
    3. A child writes in its scratch folder only; the folder above, which outlives it, it cannot open.
    4. One child at a time, and what it wrote is gone before the next: a folder that cannot be emptied ends us.

Data flow: start packet -> imports -> {ready} -> packets with three descriptors -> fork -> {started} + pidfd
    -> child ends -> {status, cpu_us, memory_kb}.
"""

from __future__ import annotations

import sys

_PLAIN_MODULES = frozenset(sys.modules)  # what a fresh candidate's process has too; taken before any import below

import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import socket  # noqa: E402
import stat  # noqa: E402
import time  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from consilience.trials.harness import harness_candidate, harness_wire

    Confine = tuple[Callable[[], None], Callable[[list[str]], None]]
else:
    import harness_candidate
    import harness_wire

PACKET_BYTES = 1 << 18
STREAMS = 3
HIGHEST_DESCRIPTOR = 4096  # above the sandbox's limit on open files
FAILED = 125


def main() -> None:
    """Serve until the recorder closes the control socket."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    start = json.loads(control.recv(PACKET_BYTES))
    _empty(start["arena"])
    confine = _prepare_confinement(start)
    _load(start)
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - pathlib is not imported otherwise
        _tell(control, {"unfit": "a library started threads while it was imported"})
        return
    gc.collect()
    gc.freeze()  # a collection in the child would else copy every page of ours
    _tell(control, {"ready": True, "cpu_ms": round(1000 * time.process_time())})
    while _serve_one(control, start, confine):
        pass


def _prepare_confinement(start: dict[str, Any]) -> Confine:
    """Open what children may reach, once, and return the two calls by which a child confines itself."""
    launcher = _load_file(start["launcher"])
    settings = start["confine"]
    opened = launcher.open_rules(settings["rules"])
    programs = [launcher.make_program(bytes.fromhex(text)) for text in settings["filters"]]
    launcher.limit({"with-parent": ["1"]})  # makes what the children's calls need, and ends us with the recorder

    def bind() -> None:
        launcher.limit({"with-parent": ["1"]})
        _close_all_but({descriptor for _rights, descriptor in opened})

    def confine(rlimits: list[str]) -> None:
        if opened:
            launcher.enter_ruleset(opened + launcher.open_rules(settings["own_rules"]))
        launcher.limit({"rlimit": rlimits})
        for program in programs:
            launcher.enter_filter(program)

    return bind, confine


def _load_file(path: str) -> Any:
    """Load a module from its file: at level `restricted` the folder above it cannot be listed, as an import does."""
    module = type(sys)("launcher")
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not imported otherwise
        source = file.read()
    exec(compile(source, path, "exec"), vars(module))  # noqa: S102 - a file of ours, named by the recorder
    return module


def _close_all_but(kept: set[int]) -> None:
    """Close every descriptor beyond the first three but these."""
    low = STREAMS
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, HIGHEST_DESCRIPTOR)


def _load(start: dict[str, Any]) -> None:
    """Import what the children will need. A library that fails here fails again in the child, and is reported there."""
    sys.path[:] = start["path"]
    sys.prefix = sys.exec_prefix = start["prefix"]
    for name in start["preload"]:
        try:
            __import__(name)
        except BaseException:  # noqa: BLE001, S112 - the named boundary: libraries may raise anything
            continue
    harness_wire.seed_all(0)  # loads NumPy's generators, which it keeps back until they are asked for


def _serve_one(control: socket.socket, start: dict[str, Any], confine: Confine) -> bool:
    """Run one child from fork to end; False when the recorder is gone."""
    packet, descriptors, _flags, _address = socket.recv_fds(control, 64, STREAMS)
    if not packet or len(descriptors) != STREAMS:
        return False
    before = time.process_time()
    pid = os.fork()
    if pid == 0:
        _become_candidate(control, descriptors, start, confine)
    for descriptor in descriptors:
        os.close(descriptor)
    watch = os.pidfd_open(pid)
    socket.send_fds(control, [b'{"started":true}'], [watch])
    os.close(watch)
    _pid, status, used = os.wait4(pid, 0)
    _empty(start["arena"])
    own = time.process_time() - before
    cpu_ms = round(1000 * (used.ru_utime + used.ru_stime + own))
    _tell(control, {"status": os.waitstatus_to_exitcode(status), "cpu_ms": cpu_ms, "memory_kb": used.ru_maxrss})
    return True


def _tell(control: socket.socket, message: dict[str, Any]) -> None:
    message["own_kb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    control.send(json.dumps(message).encode())


def _become_candidate(control: socket.socket, descriptors: list[int], start: dict[str, Any], confine: Confine) -> None:
    """Confine this child and serve the candidate. Never returns."""
    code = FAILED
    try:
        bind, finish = confine
        control.detach()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        bind()
        receive, send = harness_wire.open_channel()
        first = receive()
        if first is not None:
            _make_places(start["arena"], first.pop("files"), start["links"])
            finish(first.pop("rlimit"))  # after its files were written: from here on they can only be read
            _forget(first["own_modules"])
            code = 1  # from here on what goes wrong is the candidate's
            harness_candidate.serve(first, receive, send)
            code = 0
    except BaseException as error:  # noqa: BLE001 - the named boundary: no child may go on as the warm process
        sys.stderr.write(f"the candidate's process could not be prepared: {error!r}\n")
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _forget(names: list[str]) -> None:
    """Let the candidate's own modules be imported where we have one of the same name and a fresh process has none."""
    for name in names:
        if name not in _PLAIN_MODULES:
            sys.modules.pop(name, None)


def _make_places(arena: str, files: dict[str, str], links: dict[str, str]) -> None:
    """Make the candidate's folders, write its files and go there."""
    program = arena + "/program"
    os.mkdir(arena + "/scratch", 0o700)  # noqa: PTH102 - pathlib is not imported otherwise
    os.mkdir(program, 0o700)  # noqa: PTH102
    for name, target in links.items():
        link = f"{arena}/scratch/{name}"
        os.makedirs(os.path.dirname(link), exist_ok=True)  # noqa: PTH103, PTH120
        os.symlink(target, link)  # noqa: PTH211
    for path, text in files.items():
        target = f"{program}/{path}"
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        with open(target, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
            file.write(text)
    os.chdir(program)


def _empty(folder: str) -> None:
    """Remove everything in a folder, and every mark that can be left on the folder itself."""
    _empty_folders(folder)
    for name in os.listxattr(folder):
        os.removexattr(folder, name)
    os.utime(folder, (0, 0))


def _empty_folders(folder: str) -> None:
    """Remove everything in a folder. Folders are moved up into it: nested, their paths may be too long to be named."""
    name, moved = os.urandom(8).hex(), 0
    pending = [folder]
    os.chmod(folder, 0o700)  # noqa: PTH101
    while pending:
        top = pending.pop()
        with os.scandir(top) as found:
            entries = list(found)
        for entry in entries:
            if not stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
                os.unlink(entry.path)  # noqa: PTH108
                continue
            os.chmod(entry.path, 0o700)  # noqa: PTH101
            moved += 1
            pending.append(f"{folder}/{name}{moved}")
            os.rename(entry.path, pending[-1])  # noqa: PTH104
        if top != folder:
            os.rmdir(top)  # noqa: PTH106
