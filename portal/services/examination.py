"""What is wrong with a tenant's set-up: evidence, and one check for each thing that can be.

A check looks at evidence that was gathered before and says one sentence, with what to press where
something is wrong. It is not asked while one that it needs has failed, so that one fault turns
one check red. See ``flows/examining.py`` for how the evidence comes together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from portal.billing.engine import AccountCheck, KeyCheck, PortalState, WebhookState
from portal.errors import BillingEngineError

CONFIGURATION = "Admin > Advanced configuration"


class State(StrEnum):
    """How a check came out."""

    GOOD = "GOOD"
    FAULT = "FAULT"
    REMINDER = "REMINDER"
    """Nothing is known to be wrong, but a person has to look."""
    OPEN = "OPEN"
    """Not asked, because of something else that is wrong or not there yet."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A check's state and its sentence; ``remedy`` says what to press."""

    state: State
    words: str
    remedy: str = ""


def good(words: str) -> Verdict:
    """Nothing is wrong."""
    return Verdict(state=State.GOOD, words=words)


def fault(words: str, remedy: str) -> Verdict:
    """Something is wrong."""
    return Verdict(state=State.FAULT, words=words, remedy=remedy)


def reminder(words: str, remedy: str) -> Verdict:
    """A person has to look."""
    return Verdict(state=State.REMINDER, words=words, remedy=remedy)


def unasked(words: str) -> Verdict:
    """There is nothing to look at."""
    return Verdict(state=State.OPEN, words=words)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A connected account that something is sold through, and what the provider says of it."""

    account: str
    apis: tuple[str, ...]
    check: AccountCheck | None = None
    error: BillingEngineError | None = None
    missing_rights: tuple[str, ...] = ()
    has_portal: bool = False
    """Whether a customer portal configuration is stored for it."""
    portal: PortalState | None = None
    portal_missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the checks look at. Holds no secret."""

    now: datetime
    base_url: str
    webhook_url: str
    success_url: str
    is_real_provider: bool
    schema: str | None
    newest_schema: str | None
    database_now: datetime | None
    secrets_readable: bool = True
    has_key: bool = False
    key_problem: str = ""
    """Why the key may not be used with the provider's address, in words."""
    is_live: bool = False
    key: KeyCheck | None = None
    key_error: BillingEngineError | None = None
    asked_at: datetime | None = None
    """The portal's time when the provider answered ``key``."""
    secrets: int = 0
    missing_rights: tuple[str, ...] = ()
    """What the key may not do in the platform's own account."""
    webhooks: tuple[WebhookState, ...] | None = None
    wanted_version: str = ""
    wanted_events: frozenset[str] = frozenset()
    last_event_at: datetime | None = None
    last_refused_at: datetime | None = None
    refused_events: int = 0
    heard_connected: bool = False
    """Whether an event of a connected account has ever arrived."""
    dead_events: int = 0
    accounts: tuple[Account, ...] = ()
    apis_without_account: tuple[str, ...] = ()
    overdue_since: datetime | None = None
    """Since when background work is due that nobody does."""
    spool: str = ""
    """The folder of this machine in which calls wait to be counted."""
    other_spools: tuple[tuple[str, int], ...] = ()
    """Other such folders, and how many files nobody counts there."""

    @property
    def ours(self) -> tuple[WebhookState, ...]:
        """The webhook endpoints that lead to this tenant."""
        return tuple(hook for hook in self.webhooks or () if hook.url == self.webhook_url)

    @property
    def answering(self) -> tuple[Account, ...]:
        """The connected accounts that the provider answers for."""
        return tuple(each for each in self.accounts if each.check is not None)


Look = Callable[[Evidence], Verdict]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that can be wrong. ``needs`` names the checks that have to be good first."""

    name: str
    title: str
    look: Look
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A check and its verdict, for a page, a terminal or JSON."""

    name: str
    title: str
    verdict: Verdict

    def as_json(self) -> dict[str, str]:
        """The finding for programs."""
        return {
            "check": self.name,
            "title": self.title,
            "state": self.verdict.state,
            "message": self.verdict.words,
            "remedy": self.verdict.remedy,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an examination found, in the order of the checks."""

    findings: tuple[Finding, ...] = field(default_factory=tuple)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(each for each in self.findings if each.verdict.state is State.FAULT)

    @property
    def is_good(self) -> bool:
        """Whether nothing is known to be wrong."""
        return not self.faults


def examine(evidence: Evidence, checks: Sequence[Check]) -> Report:
    """Make every check whose needs are met, in order."""
    findings: list[Finding] = []
    bad: dict[str, str] = {}
    for check in checks:
        stopped = next((bad[name] for name in check.needs if name in bad), None)
        verdict = (
            unasked(f"Not checked: look at “{stopped}” first.") if stopped else check.look(evidence)
        )
        if verdict.state is State.FAULT or stopped:
            bad[check.name] = stopped or check.title
        findings.append(Finding(name=check.name, title=check.title, verdict=verdict))
    return Report(findings=tuple(findings))


def apart(first: datetime, second: datetime) -> timedelta:
    """Return how far two moments lie apart, whichever is earlier."""
    return abs(first - second)
