"""Authority over results: who may excise what, at one place of the fold.

Rules:
    1. Whoever made a result may excise it, and so may members of the roles that the policy in force names.
    2. Only kinds that the registry calls results can be excised, whoever asks.
    3. The policy is that of the genesis, then of each `study.configured` by an owner. Two geneses of one hive give
       nobody a role: neither can be told to be the true one.

Data flow: hive.founded, study.configured -> Authority -> `journal.excision`, `consilience excise`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import HiveFounded, StudyConfigured
from consilience.core.events import Event
from consilience.journal.kinds import BY_NAME

OWNER = "owner"
"""The role whose members state a hive's policy, beside its genesis."""

ActsFor = Mapping[str, frozenset[str]]
"""By DID the identities on whose behalf it may excise: an operator for its agents, an agent certified with the
capability `excise` for its operator."""


class Authority(Struct, frozen=True, kw_only=True):
    """Members by role, the roles that the policy names, and who acts for whom."""

    roles: Mapping[str, tuple[str, ...]] = {}
    excision_roles: tuple[str, ...] = ()
    acts_for: ActsFor = {}
    founded: bool = False

    def owns(self, author: str, maker: str) -> bool:
        """Tell whether what `maker` made is this author's own, or of somebody whom it acts for."""
        return maker in self._selves(author)

    def is_member(self, author: str) -> bool:
        """Tell whether the policy lets this author excise results of others."""
        named = {member for role in self.excision_roles for member in self.roles.get(role, ())}
        return not named.isdisjoint(self._selves(author))

    def fault(self, author: str, target: Event) -> str:
        """Return why this author may not excise that event, "" where it may."""
        kind = BY_NAME.get(target.fields.kind)
        if kind is None or not kind.result or target.body is None:
            return f"{target.fields.kind} is no result, and only results can be excised"
        if self.owns(author, target.fields.author) or self.is_member(author):
            return ""
        roles = ", ".join(self.excision_roles) or "none"
        return f"it is a result of {target.fields.author}; only its author and members of these roles may: {roles}"

    def after(self, event: Event) -> Self:
        """Return the authority after one more event."""
        body = event.body
        if isinstance(body, HiveFounded):
            if self.founded:
                return replace(self, roles={}, excision_roles=())
            return replace(self, roles=body.roles, excision_roles=body.policy.excision_roles, founded=True)
        if isinstance(body, StudyConfigured) and event.fields.author in self.roles.get(OWNER, ()):
            return replace(self, excision_roles=body.settings.policy.excision_roles)
        return self

    def _selves(self, author: str) -> frozenset[str]:
        return self.acts_for.get(author, frozenset()) | {author}


def authority_of(events: Iterable[Event], acts_for: ActsFor | None = None) -> Authority:
    """Return who may excise what after these events, which are in canonical order."""
    authority = Authority(acts_for=acts_for or {})
    for event in events:
        authority = authority.after(event)
    return authority
