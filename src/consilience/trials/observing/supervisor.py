"""Answers the questions of one watched process tree, and takes notes of what it was denied.

Rules:
    1. Every question is answered at once; nothing that a process does stops the watch.
    2. The answers are those of the ordinary filter: what it refuses is refused, what it allows goes on. A watched
       trial can do nothing that an ordinary one cannot.
    3. It ends when the last process of the tree has ended.

Data flow: socket -> listener -> questions -> `Ledger`.
"""

from __future__ import annotations

import os
import platform
import select
import socket
import struct
import threading
from collections import deque
from pathlib import Path, PurePosixPath

from consilience.trials.observing import listener as kernel
from consilience.trials.observing.calls import WATCHED, Watched, call_name
from consilience.trials.observing.denials import Ledger
from consilience.trials.observing.listener import Question
from consilience.trials.observing.views import View, full_path

_START_SECONDS = 30.0  # a loaded machine needs a few to start an interpreter in its sandbox
_LOOKED_FOR = 32  # more folders than a path has; `makedirs` looks for one after the other, going up
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FAMILIES = {1: "local", 2: "IPv4", 10: "IPv6", 16: "netlink", 17: "packet"}


class Supervisor:
    """Watches one process tree in a thread of its own.

    `complete` becomes True when the last process has ended and every question was answered; it stays False where the
    machine forbids reading what the calls name (Yama's ptrace_scope of 2 or 3).

    Args:
        channel: the socket on which the launcher sends the listener; closed here.
        ledger: where notes go.
        homes: what ``HOME`` is inside, and this user's home folder, which it stands for.
        may_exec: whether the tree may start programs.
    """

    def __init__(self, channel: socket.socket, ledger: Ledger, homes: tuple[str, Path], *, may_exec: bool) -> None:
        self._channel = channel
        self._ledger = ledger
        self._trial_home, self._home = homes
        self._may_exec = may_exec
        self._machine = platform.machine()
        self._names: dict[int, str] = {}
        self._recent: deque[str] = deque(maxlen=_LOOKED_FOR)
        self._known: set[tuple[str, str]] = set()
        self._sees = False
        self.complete = False
        self._thread = threading.Thread(target=self._run, name="trial-watch", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the end of the watch."""
        self._thread.join(seconds)

    def _run(self) -> None:
        listener = self._take_listener()
        if listener is None:
            return
        try:
            self._serve(listener)
            self.complete = self._sees
        finally:
            os.close(listener)

    def _take_listener(self) -> int | None:
        with self._channel:
            self._channel.settimeout(_START_SECONDS)
            try:
                _data, descriptors, _flags, _address = socket.recv_fds(self._channel, 16, 1)
            except OSError:
                return None
        return descriptors[0] if descriptors else None

    def _serve(self, listener: int) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while True:
            events = poll.poll()
            if not any(event & select.POLLIN for _, event in events):
                return
            question = kernel.receive(listener)
            if question is not None:
                self._answer(listener, question)

    def _answer(self, listener: int, question: Question) -> None:
        name = self._name(question.number)
        call = WATCHED.get(name)
        if call is not None:
            self._note(listener, question, call)
        if call is not None and (call.use != "execute" or self._may_exec):
            kernel.proceed(listener, question)
            return
        self._ledger.note_call(f"socket ({_family(question)})" if name == "socket" else name)
        kernel.refuse(listener, question)

    def _name(self, number: int) -> str:
        if number not in self._names:
            self._names[number] = call_name(number, self._machine)
        return self._names[number]

    def _note(self, listener: int, question: Question, call: Watched) -> None:
        path = self._path(question, call)
        use = _use(question, call)
        if call.use == "read":
            self._recent.append(path)
        if not path or (use, path) in self._known or not kernel.is_waiting(listener, question):
            return
        self._known.add((use, path))
        try:
            with View(question.pid) as view:
                self._judge(view, use, path)
        except OSError:
            return  # it ended while we looked

    def _path(self, question: Question, call: Watched) -> str:
        named = kernel.read_text(question.pid, question.arguments[call.path])
        self._sees = self._sees or bool(named)
        folder = None if call.folder is None else question.arguments[call.folder]
        return full_path(question.pid, folder, named) if named else ""

    def _judge(self, view: View, use: str, path: str) -> None:
        if use == "execute":
            self._ledger.note_start(path, seen=view.sees(path))
        elif use == "read":
            if not view.sees(path):
                self._ledger.note_read(self._on_the_host(path))
        elif use == "make":
            if not view.may_write(path) and not view.sees(path):
                self._ledger.note_folder(path, self._way_up(path))
        elif not view.may_write(path):
            self._ledger.note_write(path)

    def _way_up(self, folder: str) -> str:
        """Return the path from which the latest looks went up to `folder`: what `makedirs` was to make it for."""
        start = folder
        for path in reversed(self._recent):
            if str(PurePosixPath(path).parent) == start:
                start = path
            elif not PurePosixPath(folder).is_relative_to(path):
                break
        return start

    def _on_the_host(self, path: str) -> str:
        """Return where a path of the trial's home would be in the user's; links are followed where it is granted."""
        if path.startswith(f"{self._trial_home}/"):
            return str(self._home) + path[len(self._trial_home) :]
        return path


def _use(question: Question, call: Watched) -> str:
    """Return what the call would do: read, write, make or execute."""
    if call.flags is None:
        return call.use
    flags = question.arguments[call.flags]
    if call.use == "open_how":  # struct open_how begins with the flags
        data = kernel.read_memory(question.pid, flags, 8)
        flags = struct.unpack("=Q", data[:8])[0] if len(data) >= 8 else 0  # noqa: PLR2004 - bytes of a number
    return "write" if flags & _WRITING else "read"


def _family(question: Question) -> str:
    return _FAMILIES.get(question.arguments[0], f"family {question.arguments[0]}")
