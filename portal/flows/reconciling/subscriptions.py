"""Subscriptions here against subscriptions at the engine.

A kind of difference is one entry of ``KINDS``: what it is called, how it is told, what ends it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from portal.billing.engine import SubscriptionSnapshot
from portal.errors import EngineObjectMissing
from portal.extensions import db
from portal.flows import refreshing
from portal.flows.reconciling.difference import (
    NOTHING,
    Difference,
    Repair,
    Side,
    paged,
    read,
)
from portal.models import Billing, CheckoutAttempt, Subscription
from portal.services import checkouts, reconciling
from portal.services.reconciling import Sold
from portal.services.subscriptions import Cause
from portal.web.unit_of_work import in_unit_of_work


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A subscription as both sides hold it; either may hold none."""

    side: Side
    ours: Sold | None
    theirs: SubscriptionSnapshot | None

    @property
    def subject(self) -> str:
        """What it is called."""
        if self.theirs is not None:
            return self.theirs.subscription_id
        return str(self.ours.engine_id if self.ours else "")


Values = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way in which a pair can differ.

    ``differs`` returns both values, or ``None``; ``repair`` what ends it without a person.
    """

    name: str
    differs: Callable[[Pair], Values | None]
    proposal: str
    repair: Callable[[Pair], Repair | None]


def compare(side: Side) -> Iterator[Difference]:
    """Compare every subscription of an account that lives on either side.

    Keeps the engine's ids of the account's living subscriptions, and of all else one page.
    """
    seen: set[str] = set()
    for page in paged(side.engine.living_subscriptions(side.account)):
        seen.update(found.subscription_id for found in page)
        for pair in _pairs(side, page):
            yield from _differences(pair)
    after = 0
    while rows := read(lambda at=after: _records(side, at)):  # type: ignore[misc]
        after = rows[-1][0]
        for some in paged(engine_id for _, engine_id in rows if engine_id not in seen):
            for pair in _missing_there(side, some):
                yield from _differences(pair)


def _records(side: Side, after: int) -> list[tuple[int, str]]:
    return reconciling.open_ids(side.tenant_id, side.account, after)


def _missing_there(side: Side, engine_ids: list[str]) -> list[Pair]:
    found = read(lambda: reconciling.sold_as(side.tenant_id, side.account, engine_ids))
    return [
        Pair(side=side, ours=ours, theirs=None)
        for ours in found.values()
        if not ours.ended and ours.engine_id == ours.current_id
    ]


def _pairs(side: Side, page: list[SubscriptionSnapshot]) -> list[Pair]:
    def look() -> list[Pair]:
        by_id = reconciling.sold_as(
            side.tenant_id, side.account, [each.subscription_id for each in page]
        )
        names = {
            each.reference for each in page if each.reference and each.subscription_id not in by_id
        }
        by_name = reconciling.named(side.tenant_id, side.account, names) if names else {}
        return [
            Pair(
                side=side,
                ours=by_id.get(each.subscription_id) or by_name.get(each.reference or ""),
                theirs=each,
            )
            for each in page
        ]

    return read(look)


def _differences(pair: Pair) -> Iterator[Difference]:
    """Say how a pair differs, if it still does when both sides are asked once more."""
    if not any(kind.differs(pair) for kind in KINDS):
        return
    pair = _again(pair)
    for kind in KINDS:
        values = kind.differs(pair)
        if values is None:
            continue
        yield pair.side.difference(
            kind.name,
            pair.subject,
            here=values[0],
            there=values[1],
            since=_since(pair),
            proposal=kind.proposal,
            repair=kind.repair(pair),
        )


def _since(pair: Pair) -> datetime | None:
    if pair.theirs is not None and pair.theirs.created is not None:
        return pair.theirs.created
    return pair.ours.created if pair.ours else None


def _again(pair: Pair) -> Pair:
    side = pair.side
    try:
        theirs = side.engine.subscription(side.account, pair.subject)
    except EngineObjectMissing:
        return Pair(side=side, ours=pair.ours, theirs=None)
    return _pairs(side, [theirs])[0]


# --- the kinds ------------------------------------------------------------------------------


def _words(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment else NOTHING


def _is_known(pair: Pair) -> bool:
    """Whether both sides hold it and it is the one that counts here."""
    ours = pair.ours
    if ours is None or ours.engine_id is None or pair.theirs is None:
        return False
    return ours.engine_id == ours.current_id


def _unknown(pair: Pair) -> Values | None:
    theirs = pair.theirs
    if pair.ours is not None or theirs is None or theirs.reference is None:
        return None
    if theirs.status.is_over or not pair.side.is_settled(theirs.created):
        return None
    return NOTHING, f"{theirs.status}, made for {theirs.reference}"


def _paid_without_service(pair: Pair) -> Values | None:
    ours, theirs = pair.ours, pair.theirs
    if ours is None or theirs is None or ours.engine_id is not None:
        return None
    if theirs.status.is_over or not pair.side.is_settled(theirs.created):
        return None
    return f"{ours.billing}, no billing record", theirs.status


def _lives_on(pair: Pair) -> Values | None:
    ours, theirs = pair.ours, pair.theirs
    if ours is None or theirs is None or ours.engine_id is None or theirs.status.is_over:
        return None
    if ours.ended:
        return Billing.ENDED, theirs.status
    if ours.engine_id != ours.current_id:
        return f"replaced by {ours.current_id}", theirs.status
    return None


def _missing(pair: Pair) -> Values | None:
    if pair.ours is None or pair.theirs is not None or pair.ours.ended:
        return None
    return pair.ours.billing, NOTHING


def _status(pair: Pair) -> Values | None:
    ours, theirs = pair.ours, pair.theirs
    if ours is None or theirs is None or not _is_known(pair) or ours.ended:
        return None
    if theirs.status.is_over:
        return ours.billing, theirs.status
    agree = {
        Billing.PAID: theirs.status.is_good,
        Billing.GRACE: theirs.status.is_arrears,
        Billing.OVERDUE: theirs.status.is_arrears,
    }.get(ours.billing, not theirs.status.is_good and not theirs.status.is_arrears)
    return None if agree else (ours.billing, theirs.status)


def _of_living(
    ours: Callable[[Sold], str], theirs: Callable[[SubscriptionSnapshot], str]
) -> Callable[[Pair], Values | None]:
    def differs(pair: Pair) -> Values | None:
        if pair.ours is None or pair.theirs is None or not _is_known(pair):
            return None
        if pair.ours.ended or pair.theirs.status.is_over:
            return None
        values = ours(pair.ours), theirs(pair.theirs)
        return values if values[0] != values[1] else None

    return differs


def _refresh(pair: Pair) -> Repair | None:
    """Read the present state and apply that; what has ended or was replaced is cancelled."""
    ours, side = pair.ours, pair.side
    return (lambda: refreshing.refresh(side.engine_for, ours.number)) if ours else None


def _give_service(pair: Pair) -> Repair:
    """Find the page that was paid, and activate what it paid for; without one, cancel."""

    def repair() -> None:
        side, ours, theirs = pair.side, pair.ours, pair.theirs
        assert ours is not None  # noqa: S101 - the kind looked
        assert theirs is not None  # noqa: S101
        for attempt_id, session_id in read(lambda: reconciling.payment_of(ours.number)):
            page = side.engine.checkout(side.account, session_id)
            if page.subscription_id != theirs.subscription_id:
                continue
            in_unit_of_work(lambda: _activate(attempt_id, page))  # noqa: B023 - returns at once
            refreshing.refresh(side.engine_for, ours.number)
            return
        side.engine.cancel_subscription(side.account, theirs.subscription_id)

    return repair


def _activate(attempt_id: int, page: object) -> None:
    from portal.billing.engine import CheckoutSession

    assert isinstance(page, CheckoutSession)  # noqa: S101
    attempt = db.session.get_one(CheckoutAttempt, attempt_id)
    subscription = db.session.get_one(Subscription, attempt.am_subscription_id)
    words = "The payment is confirmed: found by comparing with the billing engine."
    checkouts.apply(attempt, subscription, page, Cause(because=words, actor="command"))


def _by_hand(_pair: Pair) -> None:
    return None


_APPLY = "Apply the engine's present state."

KINDS = (
    Kind(
        name="paid_without_service",
        differs=_paid_without_service,
        proposal="Activate what was paid for; cancel at the engine if no payment page explains it.",
        repair=_give_service,
    ),
    Kind(
        name="subscription_unknown",
        differs=_unknown,
        proposal="Look at it in the engine's dashboard: it names a subscription that is not here.",
        repair=_by_hand,
    ),
    Kind(
        name="lives_after_end",
        differs=_lives_on,
        proposal="Cancel it at the engine.",
        repair=_refresh,
    ),
    Kind(
        name="subscription_missing",
        differs=_missing,
        proposal="Look at the account: the engine knows no such subscription. Unsubscribe ends it.",
        repair=_by_hand,
    ),
    Kind(name="status", differs=_status, proposal=_APPLY, repair=_refresh),
    Kind(
        name="cancel_at",
        differs=_of_living(lambda ours: _words(ours.cancel_at), lambda it: _words(it.cancel_at)),
        proposal=_APPLY,
        repair=_refresh,
    ),
    Kind(
        name="period",
        differs=_of_living(lambda ours: _words(ours.period_end), lambda it: _words(it.period_end)),
        proposal=_APPLY,
        repair=_refresh,
    ),
    Kind(
        name="price",
        differs=_of_living(lambda ours: str(ours.price_id), lambda it: str(it.price_id)),
        proposal="Somebody changed the price at the engine: change it back there.",
        repair=_by_hand,
    ),
)
