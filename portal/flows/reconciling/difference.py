"""What a comparison finds, and what it is given to find it with."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from portal.billing.engine import BillingEngine
from portal.extensions import db
from portal.flows.reconciling.risks import RISKS, Risk
from portal.models import Tenant

T = TypeVar("T")

EngineFor = Callable[[Tenant], BillingEngine]
Repair = Callable[[], object]
Agreed = Callable[[str], object]
"""Is told the ``subject`` of usage that was compared and is the same on both sides."""

#: What may be under way: an event that Stripe is delivering, a page that is being opened.
GRACE = timedelta(minutes=5)
PAGE = 100
NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not the same here and at the engine, with both values.

    ``proposal`` says what ends it. Where that is safe to do without a person, ``repair`` does it;
    doing it twice is the same as once.
    """

    kind: str
    tenant: str
    account: str | None
    subject: str
    """Our UUID or the engine's id of what differs."""
    here: str
    there: str
    since: datetime | None
    proposal: str
    repair: Repair | None = field(default=None, repr=False, compare=False)

    @property
    def risk(self) -> Risk:
        """What it does to people and money."""
        return RISKS[self.kind]


def ignored(_subject: str) -> None:
    """Take no notice of what agrees."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One tenant's engine in one connected account, and how to say what differs there."""

    tenant_id: int
    tenant: str
    account: str
    engine: BillingEngine
    engine_for: EngineFor
    now: datetime
    grace: timedelta = GRACE
    agreed: Agreed = ignored

    def difference(
        self,
        kind: str,
        subject: str,
        *,
        here: str,
        there: str,
        proposal: str,
        since: datetime | None = None,
        repair: Repair | None = None,
    ) -> Difference:
        """Return a difference in this account."""
        return Difference(
            kind=kind,
            tenant=self.tenant,
            account=self.account,
            subject=subject,
            here=here,
            there=there,
            since=since,
            proposal=proposal,
            repair=repair,
        )

    def is_settled(self, moment: datetime | None) -> bool:
        """Whether something is old enough not to be under way any more."""
        return moment is None or self.now - moment >= self.grace


def read(work: Callable[[], T]) -> T:
    """Read, and end the transaction before the engine is asked again."""
    try:
        return work()
    finally:
        db.session.rollback()


def paged(found: Iterable[T]) -> Iterator[list[T]]:
    """Go through something a hundred at a time."""
    rest = iter(found)
    while page := list(islice(rest, PAGE)):
        yield page
