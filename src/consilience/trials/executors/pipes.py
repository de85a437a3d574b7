"""The recorder's ends of a child's pipes: frames with a cap, a log tail, an exit watch, and one loop over all.

Rules:
    1. Nothing here blocks for longer than the deadline it is given, whatever a child writes or fails to read.
    2. Memory is bounded: a frame has a cap, a log keeps its tail.
    3. Bytes are only carried; what they mean is for `messages`, `arrays` and the executors.

Data flow: child -> descriptor -> Source.read() -> frame, tail or flag -> executor.
"""

from __future__ import annotations

import os
import re
import selectors
import time
from collections.abc import Callable

CHUNK_BYTES = 1 << 18
CHUNKS_AT_ONCE = 8  # so that a flood on one pipe does not keep the loop from its deadline
LOG_TAIL_BYTES = 64 * 1024
_ANNOUNCEMENT = re.compile(rb'\{"body":(\d{1,15})[,}]')


class Source:
    """A descriptor that is read when it has something."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.closed = False

    def read(self) -> None:
        """Read what is there, up to a bound, without blocking."""
        for _ in range(CHUNKS_AT_ONCE):
            chunk = self._chunk()
            if not chunk:
                return
            self._take(chunk)

    def drain(self) -> None:
        """Read what is left after the child has ended, up to a bound."""
        self.read()

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

    def _chunk(self) -> bytes:
        try:
            chunk = os.read(self.descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return b""
        self.closed = not chunk
        return chunk

    def _take(self, chunk: bytes) -> None:
        raise NotImplementedError


class Tail(Source):
    """Keeps the last `keep` bytes, and counts all."""

    def __init__(self, descriptor: int, keep: int = LOG_TAIL_BYTES) -> None:
        super().__init__(descriptor)
        self.total = 0
        self._keep = keep
        self._kept = b""

    def text(self) -> str:
        """Return the tail, decoded with replacement, saying so where the beginning is cut off."""
        text = self._kept.decode("utf-8", "replace")
        cut = self.total - len(self._kept)
        return f"[{cut} bytes before this are not kept]\n{text}" if cut else text

    def reset(self) -> None:
        """Forget what was read, for the log of the next trial."""
        self.total = 0
        self._kept = b""

    def _take(self, chunk: bytes) -> None:
        self.total += len(chunk)
        self._kept = (self._kept + chunk)[-self._keep :]


class Lines(Source):
    """Collects frames: a line of at most `cap` bytes, and the bytes that it announces to follow it.

    A line announces them by beginning with ``{"body":N,``. At most one frame is expected at a time. All of it
    together has at most `frame_cap` bytes.
    """

    def __init__(self, descriptor: int, cap: int, frame_cap: int | None = None) -> None:
        super().__init__(descriptor)
        self.overflow = False
        self._cap = cap
        self._frame_cap = cap if frame_cap is None else frame_cap
        self._parts: list[bytes] = []
        self._size = 0
        self._line: bytes | None = None
        self._announced = 0

    @property
    def spoke(self) -> bool:
        """Tell whether any byte has arrived that was not taken."""
        return self._line is not None or self._size > 0

    @property
    def settled(self) -> bool:
        """Tell whether a whole frame is there, or none will come."""
        return self._whole or self.overflow or self.closed

    def take(self) -> bytes | None:
        """Return the line of a whole frame, if there is one, and forget the frame."""
        frame = self.take_frame()
        return frame[0] if frame else None

    def take_frame(self) -> tuple[bytes, bytes] | None:
        """Return the line and what it announced, if all is there, and forget it.

        Bytes after it stay and count as spoken.
        """
        if self._line is None or not self._whole:
            return None
        line, body = self._line, b"".join(self._parts)
        rest = body[self._announced :]
        body = body[: self._announced]  # no copy where nothing follows
        self._line, self._announced = None, 0
        self._parts, self._size = [rest] if rest else [], len(rest)
        return line, body

    @property
    def _whole(self) -> bool:
        return self._line is not None and self._size >= self._announced

    def _take(self, chunk: bytes) -> None:
        end = chunk.find(b"\n") if self._line is None else -1
        if end >= 0:
            self._begin(b"".join([*self._parts, chunk[:end]]))
            chunk = chunk[end + 1 :]
        self._size += len(chunk)
        self.overflow = self.overflow or self._size > self._cap + self._announced
        if self.overflow:
            self._parts = []
        elif chunk:
            self._parts.append(chunk)

    def _begin(self, line: bytes) -> None:
        found = _ANNOUNCEMENT.match(line)
        self._line, self._announced = line, int(found[1]) if found else 0
        self._parts, self._size = [], 0
        self.overflow = self.overflow or len(line) > self._cap or len(line) + self._announced > self._frame_cap


class ExitWatch(Source):
    """Becomes `closed` when the process has ended."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor  # never read, and a kernel queue cannot be made non-blocking
        self.closed = False

    def read(self) -> None:
        """Note the end. The process stays a zombie until its owner reaps it."""
        self.closed = True


class Outbox:
    """Writes without blocking; what the child does not read yet waits here."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._pending = memoryview(b"")
        self._open = True

    @property
    def waiting(self) -> bool:
        """Tell whether something is still to be written."""
        return len(self._pending) > 0

    def put(self, data: bytes) -> None:
        """Write, keeping what does not fit."""
        self._pending = memoryview(bytes(self._pending) + data)
        self.flush()

    def flush(self) -> None:
        """Write more of what waits. A child that has closed its end gets nothing; its end is seen elsewhere."""
        try:
            while self._pending:
                self._pending = self._pending[os.write(self.descriptor, self._pending) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._pending = memoryview(b"")

    def close(self) -> None:
        """Close the descriptor, so that the child reads an end; may be called again."""
        if self._open:
            os.close(self.descriptor)
        self._open = False


class Pump:
    """One loop that reads all sources and writes all outboxes until something is true or the time is up."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._outboxes: list[Outbox] = []

    def add(self, sources: list[Source], outbox: Outbox | None = None) -> None:
        """Read these, and write this, from now on."""
        self._sources += sources
        self._outboxes += [outbox] if outbox else []

    def remove(self, sources: list[Source], outbox: Outbox | None = None) -> None:
        """Stop doing so."""
        self._sources = [source for source in self._sources if source not in sources]
        self._outboxes = [box for box in self._outboxes if box is not outbox]

    def run(self, done: Callable[[], bool], deadline: float) -> bool:
        """Carry bytes until `done()`, and tell whether it was before the deadline.

        Args:
            done: asked after each round.
            deadline: a reading of `time.monotonic()`, in seconds.
        """
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._round(left)
        return True

    def poll(self) -> None:
        """Carry what is there, without waiting."""
        self._round(0)

    def _round(self, timeout: float) -> None:
        with selectors.PollSelector() as selector:
            for source in self._sources:
                if not source.closed:
                    selector.register(source.descriptor, selectors.EVENT_READ, source.read)
            for outbox in self._outboxes:
                if outbox.waiting:
                    selector.register(outbox.descriptor, selectors.EVENT_WRITE, outbox.flush)
            for key, _ in selector.select(timeout):
                key.data()
