"""Payment pages here against payment pages at the engine."""

from collections.abc import Iterator

from portal.billing.engine import CheckoutSession, CheckoutState
from portal.errors import EngineObjectMissing
from portal.flows import payments
from portal.flows.reconciling.difference import NOTHING, Difference, Side, paged, read
from portal.models import CheckoutStatus
from portal.services import reconciling
from portal.services.reconciling import Page


def compare(side: Side) -> Iterator[Difference]:
    """Find pages that can be paid without our knowing, and open attempts whose page is closed."""
    seen: set[str] = set()
    for found in paged(side.engine.open_checkouts(side.account)):
        seen.update(page.session_id for page in found)
        yield from _open_there(side, [page for page in found if page.reference])
    after = 0
    while rows := read(
        lambda at=after: reconciling.pages_open(side.tenant_id, side.account, at)  # type: ignore[misc]
    ):
        after = rows[-1].attempt_id
        for row in rows:
            if row.session_id not in seen:
                yield from _closed_there(side, row)


def _open_there(side: Side, found: list[CheckoutSession]) -> Iterator[Difference]:
    names = [str(page.reference) for page in found]
    known = read(
        lambda: reconciling.pages_known(
            side.tenant_id, side.account, [page.session_id for page in found], names
        )
    )
    ours = read(lambda: reconciling.named(side.tenant_id, side.account, names))
    by_session = {row.session_id: row for row in known}
    unanswered = {row.subscription_uuid for row in known if row.session_id is None}
    for page in found:
        row = by_session.get(page.session_id)
        if row is None and (page.reference in unanswered or page.reference not in ours):
            # The attempt will get its answer when it is repeated; or it is no business of ours.
            continue
        if row is not None and row.status is CheckoutStatus.PENDING:
            continue
        now = side.engine.checkout(side.account, page.session_id)
        if now.state is not CheckoutState.OPEN:
            continue
        yield side.difference(
            "page_orphaned",
            page.session_id,
            here=row.status if row else NOTHING,
            there=now.state,
            since=row.created if row else None,
            proposal="Close the page at the engine, so that nobody pays there.",
            repair=lambda name=page.session_id: side.engine.expire_checkout(side.account, name),  # type: ignore[misc]
        )


def _closed_there(side: Side, row: Page) -> Iterator[Difference]:
    session_id = str(row.session_id)
    try:
        now = side.engine.checkout(side.account, session_id)
    except EngineObjectMissing:
        yield side.difference(
            "page_missing",
            session_id,
            here=row.status,
            there=NOTHING,
            since=row.created,
            proposal="Look at the account: the engine knows no such page. Unsubscribe ends it.",
        )
        return
    still = read(lambda: reconciling.pages_open(side.tenant_id, side.account, row.attempt_id - 1))
    if now.state is CheckoutState.OPEN or not any(
        each.attempt_id == row.attempt_id for each in still[:1]
    ):
        return
    yield side.difference(
        "page_closed",
        session_id,
        here=row.status,
        there=now.state,
        since=row.created,
        proposal="Apply what the payment page has become.",
        repair=lambda: payments.settle(side.engine, session_id),
    )
