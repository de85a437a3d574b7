"""The journal as its one writer has it: signed events are appended in groups.

Rules:
    1. `append` signs and folds at once; `commit` makes the group durable. Only then is it acknowledged.
    2. One process writes (a lock); readers (`journal.reader`) never block it.
    3. A writer extends its own feed only where `journal.device` lets it, else it opens a new feed.

Data flow: body -> append -> store, and the views that follow.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from consilience.core.bodies_journal import FeedOpened
from consilience.core.errors import JournalError
from consilience.core.events import Event, identity_hive, payload_bytes
from consilience.core.ports import Clock, Redactor, Signer, Verifier
from consilience.core.redaction import ShapeRedactor
from consilience.journal.device import FeedMark, WriterLock, claim_feed, refuse_lost
from consilience.journal.feed import FeedHead, Row, advance, next_payload, read_event, row_of
from consilience.journal.intake import Blob, Intake
from consilience.journal.queries import feed_ids, own_heads
from consilience.journal.reader import JOURNAL_NAME, JournalReader, View
from consilience.journal.redacting import redact_payload
from consilience.journal.spending import SpendingFeed
from consilience.journal.store import Durability, Store

LOCK_NAME = "journal.lock"
SALT_BYTES = 16  # 128 bits: no text can be guessed from its name (NIST SP 800-132 asks for as many of a salt)

_ACCUSED = "`consilience verify` names the proof; the journal stays readable, go on elsewhere or with another key"


class Journal(JournalReader):
    """A journal that this process writes, for one hive and one author."""

    redactor: Redactor = ShapeRedactor()  # every text passes it before it is stored; `node.secrets` knows more

    def __init__(self, store: Store, lock: WriterLock, signer: Signer, clock: Clock) -> None:
        super().__init__(store)
        self._lock = lock
        self._signer = signer
        self._clock = clock
        self._position = store.count()
        self._head: FeedHead | None = None
        self._after: tuple[str, ...] = ()
        self._mark: FeedMark | None = None
        self._marks: Path | None = None
        self._spending: SpendingFeed | None = None
        self._views: list[View] = []
        self._open = False
        self._accused = False

    @classmethod
    def create(cls, folder: Path, signer: Signer, clock: Clock, durability: Durability = "full") -> Journal:
        """Open the journal in a state folder for writing, making it when absent.

        Raises:
            LockedError: another process writes it.
            JournalError: the folder cannot be written, or the file is not usable.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"cannot make {folder}: {error}", hint="make it writable, or use --state") from error
        lock = WriterLock(folder / LOCK_NAME)
        try:
            store = Store.open(folder / JOURNAL_NAME, durability=durability, create=True)
        except BaseException:
            lock.release()
            raise
        try:
            return cls(store, lock, signer, clock)
        except BaseException:
            store.close()
            lock.release()
            raise

    def enter(self, hive: str, marks: Path) -> list[Event]:
        """Start writing in a hive and return its events that count, in fold order.

        What is written in another hive must be committed.

        Raises:
            DamagedError: the journal is empty, but this device's marks say that it was not.
        """
        if self._position == 0:
            refuse_lost(marks, self._store.path)
        self._leave()
        events = self.events(hive)
        heads: dict[tuple[str, str, str], FeedHead] = {}
        for event in events:
            fields = event.fields
            head = FeedHead(hive=fields.hive, author=fields.author, feed=fields.feed)
            heads[fields.hive, fields.author, fields.feed] = advance(head, event)
        self._go_on(hive, marks, heads.values())
        return events

    def go_on(self, hive: str, marks: Path, heads: Iterable[FeedHead]) -> None:
        """Start writing in a hive whose feeds that count stand at these heads, as a fold of its events found them.

        What is written in another hive must be committed.

        Raises:
            DamagedError: the journal is empty, but this device's marks say that it was not.
        """
        if self._position == 0:
            refuse_lost(marks, self._store.path)
        self._leave()
        self._go_on(hive, marks, heads)

    def _leave(self) -> None:
        if self._mark is not None:
            self._mark.release()
            self._mark = None

    def _go_on(self, hive: str, marks: Path, heads: Iterable[FeedHead]) -> None:
        self._marks = marks
        feed = self._claim(hive)
        tips = {(head.hive, head.author, head.feed): head.id for head in heads if head.id is not None}
        tips.pop((hive, self._signer.did, feed), None)
        self._after = tuple({*tips.values(), *self._identity_heads(hive)})

    def _identity_heads(self, besides: str) -> list[str]:
        """Return the heads of the writer's own identity events here: also what a new hive's first event builds on."""
        own = identity_hive(self._signer.did)
        if own == besides:
            return []
        feeds = feed_ids(self._store, own)
        return [tip[0] for feed in feeds if (tip := self._store.feed_tip(own, feed)) is not None]

    def _claim(self, hive: str) -> str:
        """Take a feed that this device may extend, or a new one. One that forks is never extended."""
        if self._marks is None:
            raise JournalError("no hive was entered")
        heads = own_heads(self._store, hive, self._signer.did, spending=False)
        whole = {feed: head for feed, head in heads.items() if head is not None}
        seqs = {feed: head.seq for feed, head in whole.items()}
        self._mark = claim_feed(self._marks, seqs, f"{hive} {self._store.path.resolve()}")
        self._accused = any(proof.author == self._signer.did for proof in self.proofs(hive))
        feed = self._mark.feed
        self._head = whole.get(feed) or FeedHead(hive=hive, author=self._signer.did, feed=feed)
        return feed

    @staticmethod
    def new_hive() -> str:
        """Return a random id for a new hive."""
        return secrets.token_hex(16)

    def follow(self, view: View) -> None:
        """Let a view see every event that is appended from now on."""
        self._views.append(view)

    def unfollow(self, view: View) -> None:
        """Show a view no more events."""
        self._views.remove(view)

    def append(self, body: Any) -> Event:
        """Sign one event, add it to the open group, and show it to the views.

        Raises:
            JournalError: no hive was entered, this identity is in quarantine in it, a number has no canonical form, or
                the store refused.
        """
        if self._head is None:
            raise JournalError("no hive was entered")
        event = self._sign(self._head, body, self._after)
        self._head = advance(self._head, event)
        self._after = ()  # only the first event after opening names what it builds on; `prev` carries it on
        return self._show(event)

    def open_spending(self, device: str) -> None:
        """Get ready to spend: take up this author's spending feed in the hive, or open it. One for ever.

        Raises:
            JournalError: no hive was entered, or the feed is another device's, ends before what this device wrote, or
                forks; a second one would be equivocation.
        """
        if self._head is None or self._marks is None:
            raise JournalError("no hive was entered")
        self._spending = SpendingFeed.claim(self._store, self._head, self._marks)
        if self._spending.head.seq < 0:
            self.spend(FeedOpened(spending=True, device=device))

    def spend(self, body: Any) -> Event:
        """Sign one event of the spending feed; else as `append`.

        Raises:
            JournalError: `open_spending` was not called; else as `append`.
        """
        if self._spending is None:
            raise JournalError("no spending feed is open", hint="call open_spending first")
        event = self._sign(self._spending.head, body, (self._head.id,) if self._head and self._head.id else ())
        self._spending.head = advance(self._spending.head, event)
        return self._show(event)

    def take(self, rows: Iterable[Row], verifier: Verifier, blobs: Mapping[str, Blob] | None = None) -> int:
        """Take in events that others wrote, whole or not at all; return how many were new. `commit` makes them durable.

        Views that follow see nothing of them: fold anew. Where they go on in the feed that is written here (a copy of
        this device wrote them), that feed is left for a new one.

        Raises:
            ForeignEventError: one of them does not hold; nothing was stored.
            JournalError: own events wait for `commit`.
        """
        if self._open:
            raise JournalError("own events wait to be committed", hint="commit before taking in events")
        taken = Intake(self._store, verifier, self._position).take(rows, blobs or {})
        self._position += len(taken.rows)
        head = self._head
        mine = [(row.hive, row.author, row.feed) for row in taken.rows]
        if head is not None and self._mark is not None and (head.hive, head.author, head.feed) in mine:
            self._mark.release()
            self._after = (head.id,) if head.id else ()
            self._claim(head.hive)
        return len(taken.rows)

    def put(self, data: bytes, salt: bytes = b"") -> str:
        """Keep a blob with the open group and return its name, the hash of salt and bytes."""
        self._store.begin()
        return self._store.put(data, salt)

    def put_erasable(self, data: bytes) -> str:
        """Keep a text, redacted, under a salted name, so that it can be erased and its name says nothing of it."""
        self._store.begin()
        return self._store.put(self.redactor.data(data), secrets.token_bytes(SALT_BYTES))

    def get(self, name: str) -> bytes:
        """Return a blob by its hash."""
        return self._store.get(name)

    def commit(self) -> None:
        """Acknowledge: make everything appended since the last commit durable."""
        self._store.commit()
        self._open = False
        if self._mark is not None and self._head is not None:
            self._mark.move(self._head.seq)
        if self._spending is not None:
            self._spending.move()

    def tip(self) -> str | None:
        """Return the id of this feed's latest event, None before the first."""
        return self._head.id if self._head else None

    def feed(self) -> str:
        """Return the feed that this journal extends, "" before a hive was entered."""
        return self._head.feed if self._head else ""

    def close(self) -> None:
        """Close the file and let others write. What was not committed is forgotten."""
        super().close()
        if self._mark is not None:
            self._mark.release()
        if self._spending is not None:
            self._spending.release()
        self._lock.release()

    def _sign(self, head: FeedHead, body: Any, after: tuple[str, ...]) -> Event:
        if self._accused and head.hive != identity_hive(head.author):
            raise JournalError(
                "this identity is in quarantine here: nothing more that it signs would count", hint=_ACCUSED
            )
        stated = next_payload(head, body, at=self._clock.now_ms(), after=after)
        payload = redact_payload(stated, self.redactor)
        try:
            data = payload_bytes(payload)
        except ValueError as error:
            raise JournalError(f"{payload.kind}: {error}") from error
        event = read_event(data, self._signer.sign(data))  # views see what a replay will see, to the last bit
        self._store.begin()
        self._store.add(row_of(event, self._position))
        return event

    def _show(self, event: Event) -> Event:
        self._position += 1
        self._open = True
        for view in self._views:
            view.apply(event)
        return event
