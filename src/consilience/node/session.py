"""A session: one problem opened for writing, with its journal, its views and its place in a hive.

Rules:
    1. Opening founds a hive for a new problem, or resumes the hive that the problem already has.
    2. What a dead process left in flight is cancelled first: its reservations come back.
    3. Observers see an event only after it is durable.
    4. An excision makes the views anew, from the first event, once it is durable.
    5. Who is no member of the hive (`journal.members`) writes nothing that would steer its study: it would not count.

Data flow: LoadedProblem + Settings -> Session -> `node.runner` (run) or ask / tell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from consilience.core.artifact import Artifact, artifact_bytes, read_artifact
from consilience.core.bodies import EpochClosed, HiveFounded, StudyConfigured, TrialCancelled
from consilience.core.canonical import canonical_bytes
from consilience.core.errors import JournalError
from consilience.core.events import Event
from consilience.core.ports import Clock, LoadedProblem, Proposer
from consilience.core.problem import problem_id
from consilience.core.study import Policy, Spend, StudySettings
from consilience.identity.keystore import require_settled
from consilience.journal.beside import is_member
from consilience.journal.device import refuse_lost
from consilience.journal.journal import Journal
from consilience.journal.members import steers
from consilience.node.identities import open_identity
from consilience.node.places import UserPlaces, hide_from_git, state_folder
from consilience.node.settings import Settings
from consilience.node.souls import carry_identity
from consilience.node.views import StudyViews, open_views
from consilience.node.writing import open_writer
from consilience.search.proposing import Offer, propose_baseline

Observer = Callable[[Event], None]
_ARTIFACT_CACHE = 512
_HINT = (
    "let its founder certify this identity (`consilience id certify --may run`), or name another folder with --state "
    "for a study of your own"
)


class Session:
    """One problem, open for writing.

    `author` is the DID that writes; `missing` says what of the identity's own events could not be taken in, "" where
    all of them are here.
    """

    def __init__(self, journal: Journal, loaded: LoadedProblem, clock: Clock, views: StudyViews) -> None:
        self.journal = journal
        self.loaded = loaded
        self.clock = clock
        self.folder = journal.store.path.parent
        self.author = ""
        self.missing = ""
        self.proposers: tuple[Proposer, ...] = ()
        self.observers: list[Observer] = []
        self.read_artifact = lru_cache(maxsize=_ARTIFACT_CACHE)(self._read_artifact)
        self._unseen: list[Event] = []
        self._is_member = True
        self._hive = views.snapshot.fold.key.hive
        self._take_up(views)

    @classmethod
    def open(
        cls,
        loaded: LoadedProblem,
        settings: Settings,
        places: UserPlaces,
        *,
        clock: Clock,
        passphrase: str = "",
        resume: bool = True,
    ) -> Session:
        """Open a problem for writing.

        Args:
            loaded: the problem.
            settings: budget, seeds and policy; in force from now on when resuming.
            places: the user's key and feed marks.
            clock: for the `at` of events.
            passphrase: unlocks the key file.
            resume: take up the study: release what a dead process left in flight, let the settings take
                effect. Upkeep does neither.

        Raises:
            JournalError, IdentityError, BudgetError: see `journal`, `identity`, `node.settings`.
        """
        study = settings.study(loaded.study.policy)
        key = Path(settings.value("key")).expanduser() if settings.value("key") else places.key
        places = replace(places, key=key)
        signer = open_identity(places, passphrase)
        folder = state_folder(loaded.root, settings.value("state"))
        journal = open_writer(folder, signer, clock, passphrase=passphrase, durability=settings.value("durability"))
        try:
            if journal.store.count() == 0:  # before the identity's events fill it
                refuse_lost(places.marks, journal.store.path)
            hide_from_git(folder)
            missing = carry_identity(journal, places, signer, clock, passphrase)
            hive = journal.hive_of(problem_id(loaded.problem)) or journal.new_hive()
            views = open_views(journal, hive, loaded.problem, author=signer.did)
        except BaseException:
            journal.close()
            raise
        session = cls(journal, loaded, clock, views)
        session.author, session.missing = signer.did, missing
        session._is_member = is_member(journal, hive, signer.did)
        try:
            session._begin(study, places, signer.key_did, resume=resume)
        except BaseException:
            session.abandon()
            raise
        return session

    def _begin(self, study: StudySettings, places: UserPlaces, key_did: str, *, resume: bool) -> None:
        """Go on in the hive, founding it first where the journal lacks it."""
        identifier = problem_id(self.loaded.problem)
        new = self.journal.hive_of(identifier) is None
        self._enter(places.marks)
        if new:
            self.append(self._genesis(identifier, self.author, study.policy))
        require_settled(places.key, key_did)  # only now does a rotation see that this feed is being written
        if resume:
            self._release_in_flight()
        if resume or self.run_state.configured is None:
            self._configure(study)
        self.commit()

    def append(self, body: Any) -> Event:
        """Sign and fold one event; it is shown to observers by the next `commit`.

        Raises:
            JournalError: the writer is no member of the hive, or see `Journal.append`.
        """
        if not self._is_member and steers(body):
            raise JournalError(
                f"{self.author} is no member of this study: nothing that it adds would count", hint=_HINT
            )
        event = self.journal.append(body)
        self._unseen.append(event)
        return event

    def commit(self) -> None:
        """Acknowledge what was appended, then tell the observers."""
        self.journal.commit()
        if self._snapshot.fold.stale:
            self.refold()
        else:
            self._snapshot.commit()
        unseen, self._unseen = self._unseen, []
        for event in unseen:
            for observer in self.observers:
                observer(event)

    def refold(self) -> None:
        """Make the views anew from the journal: after an excision, or when events of other feeds were taken in."""
        self.journal.commit()  # a snapshot holds committed events alone
        self.journal.unfollow(self._snapshot.fold)
        self._snapshot.close()
        self._take_up(open_views(self.journal, self._hive, self.loaded.problem, author=self.author))
        self.journal.follow(self._snapshot.fold)

    def offer(self, offer: Offer) -> Event:
        """Record a candidate and keep its artifact."""
        self.journal.put(artifact_bytes(offer.artifact))
        return self.append(offer.body)

    def offer_baseline(self) -> Event:
        """Record the artifact as given."""
        return self.offer(propose_baseline(self.loaded.baseline))

    def close_epoch(self) -> None:
        """Cover everything up to now: a founder alone is its own witness."""
        tip = self.journal.tip()
        if tip is not None:
            self.append(EpochClosed(epoch=self.run_state.epoch + 1, heads=(tip,)))

    def close(self) -> None:
        """Close the journal; what was committed is kept as a snapshot."""
        if not self._unseen:
            self._snapshot.commit(least=1)
        self.abandon()

    def abandon(self) -> None:
        """Close the journal and leave the snapshot as it was."""
        self._snapshot.close()
        self.journal.close()

    def _read_artifact(self, name: str) -> Artifact:
        return read_artifact(self.journal.get(name))

    def _enter(self, marks: Path) -> None:
        self.journal.go_on(self._hive, marks, self._snapshot.fold.progress.heads.values())
        self.journal.follow(self._snapshot.fold)

    def _take_up(self, views: StudyViews) -> None:
        self.state, self.run_state, self.trials = views.search, views.run_state, views.trials
        self.beliefs = views.beliefs
        self._snapshot = views.snapshot

    def _genesis(self, identifier: str, did: str, policy: Policy) -> HiveFounded:
        for data in self.loaded.support.values():
            self.journal.put(data)
        return HiveFounded(
            problem=identifier,
            specification=self.journal.put(canonical_bytes(self.loaded.problem)),
            policy=policy,
            roles={"owner": (did,)},
            supply="0",
            witnesses=(did,),
            auditors=(did,),
        )

    def _release_in_flight(self) -> None:
        """Cancel what a dead process left behind; the time it may have used counts as spent, up to its reserve."""
        now = self.clock.now_ms()
        for started, at in self.run_state.in_flight_since():
            reserved = self.state.in_flight[started].reserved
            wall_ms = min(reserved.wall_ms, max(0, now - at))
            self.append(TrialCancelled(started=started, reason="interrupted", spent=Spend(wall_ms=wall_ms)))

    def _configure(self, wanted: StudySettings) -> None:
        current = self.run_state.configured
        if current is None or current.settings != wanted:
            version = current.version + 1 if current else 1
            self.append(StudyConfigured(version=version, settings=wanted))
