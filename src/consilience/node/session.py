"""A session: one problem opened for writing, with its journal, its views and its place in a hive.

Rules:
    1. Opening founds a hive for a new problem, or resumes the hive that the problem already has.
    2. What a dead process left in flight is cancelled first: its reservations come back.
    3. Observers see an event only after it is durable.
    4. An excision makes the views anew, from the first event, once it is durable.

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
from consilience.core.events import Event
from consilience.core.ports import Clock, LoadedProblem, Proposer
from consilience.core.problem import problem_id
from consilience.core.study import Policy, Spend, StudySettings
from consilience.identity.keystore import require_settled
from consilience.journal.device import refuse_lost
from consilience.journal.journal import Journal
from consilience.node.identities import open_identity
from consilience.node.places import UserPlaces, hide_from_git, state_folder
from consilience.node.secrets import redactor
from consilience.node.settings import Settings
from consilience.node.souls import carry_identity, carry_operators
from consilience.node.verifying import fresh_keys
from consilience.node.views import StudyViews, open_views
from consilience.search.proposing import Offer, propose_baseline

Observer = Callable[[Event], None]
_ARTIFACT_CACHE = 512


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
        signer = open_identity(replace(places, key=key), passphrase)
        folder = state_folder(loaded.root, settings.value("state"))
        journal = Journal.create(folder, signer, clock, settings.value("durability"))
        journal.keys = fresh_keys
        journal.redactor = redactor(passphrase)
        try:
            if journal.store.count() == 0:  # before the identity's events fill it
                refuse_lost(places.marks, journal.store.path)
            hide_from_git(folder)
            missing = carry_identity(journal, replace(places, key=key), signer, clock, passphrase)
            missing = missing or ("" if key == places.key else carry_operators(journal, places, signer.did))
            identifier = problem_id(loaded.problem)
            founded = journal.hive_of(identifier)
            hive = founded or journal.new_hive()
            views = open_views(journal, hive, loaded.problem, author=signer.did)
        except BaseException:
            journal.close()
            raise
        session = cls(journal, loaded, clock, views)
        session.author, session.missing = signer.did, missing
        try:
            session._enter(places.marks)
            if founded is None:
                session.append(session._genesis(identifier, signer.did, study.policy))
            require_settled(key, signer.key_did)  # only now does a rotation see that this feed is being written
            if resume:
                session._release_in_flight()
            if resume or session.run_state.configured is None:
                session._configure(study)
            session.commit()
        except BaseException:
            session.abandon()
            raise
        return session

    def append(self, body: Any) -> Event:
        """Sign and fold one event; it is shown to observers by the next `commit`."""
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
