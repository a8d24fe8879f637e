"""What should have happened by now: events that did not come, payments, endings, usage."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from portal import clock
from portal.billing.engine import BillingEvent
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import changing_plan, payments
from portal.flows.reconciling.difference import NOTHING, Difference, EngineFor, Side, paged, read
from portal.models import Tenant
from portal.services import inbox, reconciling
from portal.services.reconciling import Waiting
from portal.web.unit_of_work import in_unit_of_work

LONGEST_PAYMENT = timedelta(hours=25)
LONGEST_ENDING = timedelta(hours=1)
LONGEST_SENDING = timedelta(hours=1)


def undelivered(side: Side) -> Iterator[Difference]:
    """Find the events that the engine could not deliver and that are not in the inbox."""
    for page in paged(side.engine.undelivered_events(side.account)):
        read_as = [_translated(side, body) for body in page]
        events = [(event, body) for event, body in zip(read_as, page, strict=True) if event]
        known = read(
            lambda found=events: reconciling.events_known(  # type: ignore[misc]
                side.tenant_id, [event.event_id for event, _ in found]
            )
        )
        for event, body in events:
            sent = clock.from_epoch(event.created)
            if event.event_id in known or not side.is_settled(sent):
                continue
            yield side.difference(
                "event_undelivered",
                event.event_id,
                here=NOTHING,
                there=event.type,
                since=sent,
                proposal="Take it in as if it had been delivered.",
                repair=partial(_take_in, side, event, body),
            )


def _translated(side: Side, body: object) -> BillingEvent | None:
    try:
        return side.engine.translate_event(body)  # type: ignore[arg-type]
    except PortalError:
        return None


def _take_in(side: Side, event: BillingEvent, body: object) -> None:
    import json

    raw = json.dumps(body).encode()
    in_unit_of_work(lambda: inbox.receive(db.session.get_one(Tenant, side.tenant_id), event, raw))


# --- of a tenant, whatever the account ------------------------------------------------------

Pages = Callable[[int], list[Waiting]]


def local(
    tenant_id: int, domain: str, engine_for: EngineFor, now: datetime, grace: timedelta
) -> Iterator[Difference]:
    """Find what waits in our own tables for longer than anything takes."""
    late = now - max(grace, LONGEST_ENDING)
    looks = (
        (_UNPAID, reconciling.unpaid, now - LONGEST_PAYMENT),
        (_ENDING, reconciling.endings, late),
        (_CHANGE, reconciling.plan_changes, late),
        (_EVENT, reconciling.events, now - grace),
        (_USAGE, reconciling.batches, now - LONGEST_SENDING),
    )
    for kind, look, before in looks:
        for row in _each(partial(look, tenant_id, before)):
            repair = partial(kind.repair, engine_for, tenant_id, row) if kind.repair else None
            yield Difference(
                kind=kind.name,
                tenant=domain,
                account=None,
                subject=row.subject,
                here=row.state,
                there=kind.there,
                since=row.since,
                proposal=kind.proposal,
                repair=repair,
            )


def _each(page_after: Pages) -> Iterator[Waiting]:
    after = 0
    while rows := read(lambda at=after: page_after(at)):  # type: ignore[misc]
        after = rows[-1].number
        yield from rows


@dataclass(frozen=True, kw_only=True)
class _Late:
    """Something that waits too long: what it is called, and what ends it."""

    name: str
    there: str
    proposal: str
    repair: Callable[[EngineFor, int, Waiting], object] | None = None


def _finish(engine_for: EngineFor, _tenant_id: int, row: Waiting) -> None:
    because = "Finished the ending that was asked for."
    payments.end(engine_for, row.subject, actor="command", because=because)


def _change_plan(engine_for: EngineFor, tenant_id: int, row: Waiting) -> None:
    engine = read(lambda: engine_for(db.session.get_one(Tenant, tenant_id)))
    changing_plan.finish(engine, row.number, again=True)


_UNPAID = _Late(
    name="unpaid_too_long",
    there="a payment page is open for 24 hours",
    proposal="Close it: the subscription lapses, and can be tried again.",
    repair=lambda engine_for, _tenant_id, _row: payments.sweep(engine_for),
)
_ENDING = _Late(
    name="ending_unfinished",
    there="to be ended",
    proposal="Go on with the ending that was asked for.",
    repair=_finish,
)
_CHANGE = _Late(
    name="plan_change_unfinished",
    there="to be changed",
    proposal="Go on with the change of plan that was asked for.",
    repair=_change_plan,
)
_EVENT = _Late(
    name="event_without_effect",
    there="delivered",
    proposal="Look at it under Admin > Events.",
)
_USAGE = _Late(
    name="usage_unacknowledged",
    there="not acknowledged",
    proposal="Look under Admin > Publish usage: what waits there says what to press.",
)
