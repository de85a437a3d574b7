"""The error tree: every failure a user can meet, each with a stable kind, an exit code and a mend.

Rules:
    1. A failing trial is an outcome (`core.outcome`), never an exception from this tree.
    2. Every error says what was wrong and where; `hint` says how to mend it.
    3. `kind` never changes once released: it is what `--json` prints and what scripts match.

Tree::

    ConsilienceError                 failed                 1
    |- UsageError                    usage                  2
    |  |- ProblemError               problem_invalid        2
    |  `- SettingError               setting_invalid        2
    |- BaselineError                 baseline_failed        1
    |- BudgetError                   budget_invalid         2
    |- JournalError                  journal                1
    |  |- TamperedError              journal_tampered       3
    |  |- DamagedError               journal_damaged        3
    |  |- NewerFormatError           journal_newer          4
    |  |- LockedError                journal_locked         4
    |  |- NotFoundError              not_found              2
    |  |- ForeignEventError          event_refused          3
    |  `- ExcisionError              excision_refused       1
    |- IdentityError                 identity               4
    |- ProofError                    proof_invalid          3
    |- RetentionError                retention_refused      1
    |- EnvironmentLacksError         environment            4
    |  `- IsolationError             isolation_unavailable  4
    |- HoldoutError                  holdout_refused        1
    `- ApplyError                    apply_refused          1
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_VERIFICATION = 3
EXIT_ENVIRONMENT = 4
EXIT_INTERRUPTED = 130


class ConsilienceError(Exception):
    """Root of the tree. `message` says what was wrong and where, `hint` how to mend it."""

    kind = "failed"
    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ConsilienceError):
    """The command or its arguments cannot be carried out as given."""

    kind = "usage"
    exit_code = EXIT_USAGE


class ProblemError(UsageError):
    """A problem's files are wrong. Names file, key, what was found and what was expected."""

    kind = "problem_invalid"

    def __init__(self, file: str, key: str, *, found: str, expected: str, hint: str = "") -> None:
        place = f"{file}: {key}" if key else file
        mend = hint or f"correct {place} and give the command again"
        super().__init__(f"{place}: found {found}, expected {expected}", hint=mend)
        self.file = file
        self.key = key
        self.found = found
        self.expected = expected


class SettingError(UsageError):
    """A setting has a wrong value. Names the setting and where it came from."""

    kind = "setting_invalid"


class BudgetError(UsageError):
    """A budget that allows nothing: zero or negative."""

    kind = "budget_invalid"


class BaselineError(ConsilienceError):
    """The artifact as given cannot be scored, so nothing can be compared with it."""

    kind = "baseline_failed"


class JournalError(ConsilienceError):
    """The journal could not do what was asked."""

    kind = "journal"


class TamperedError(JournalError):
    """A hash, signature or link does not hold. Names the first bad event."""

    kind = "journal_tampered"
    exit_code = EXIT_VERIFICATION


class DamagedError(JournalError):
    """The journal file itself cannot be read."""

    kind = "journal_damaged"
    exit_code = EXIT_VERIFICATION


class NewerFormatError(JournalError):
    """The journal was written by a newer version, which this one must not touch."""

    kind = "journal_newer"
    exit_code = EXIT_ENVIRONMENT


class LockedError(JournalError):
    """Another process is writing this journal."""

    kind = "journal_locked"
    exit_code = EXIT_ENVIRONMENT


class NotFoundError(JournalError):
    """No such trial, candidate, event or journal."""

    kind = "not_found"
    exit_code = EXIT_USAGE


class ForeignEventError(JournalError):
    """Events that were to be taken in do not hold; nothing of them was stored. Names the first bad one."""

    kind = "event_refused"
    exit_code = EXIT_VERIFICATION


class ExcisionError(JournalError):
    """This author may not excise that event, or there is nothing to excise or to withdraw."""

    kind = "excision_refused"


class ProofError(ConsilienceError):
    """A proof, checkpoint or cosignature does not hold."""

    kind = "proof_invalid"
    exit_code = EXIT_VERIFICATION


class RetentionError(ConsilienceError):
    """The policy keeps these blobs for longer."""

    kind = "retention_refused"


class IdentityError(ConsilienceError):
    """A key cannot be read, made or used."""

    kind = "identity"
    exit_code = EXIT_ENVIRONMENT


class EnvironmentLacksError(ConsilienceError):
    """The machine lacks something that the run needs."""

    kind = "environment"
    exit_code = EXIT_ENVIRONMENT


class IsolationError(EnvironmentLacksError):
    """The isolation that can be enforced here is below what the policy demands."""

    kind = "isolation_unavailable"


class HoldoutError(ConsilienceError):
    """The holdout was not asked: the policy's queries are used up."""

    kind = "holdout_refused"


class ApplyError(ConsilienceError):
    """The winner cannot be taken home without overwriting somebody's work."""

    kind = "apply_refused"
