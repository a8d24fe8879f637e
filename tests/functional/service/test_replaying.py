"""Events that are given their effect again, and events that are old enough to go."""

from datetime import timedelta

import pytest
import time_machine

from portal import clock, jobs
from portal.extensions import db
from portal.models import InboxEvent, Outcome, TimelineEntry
from tests.support.browser import Browser

pytestmark = pytest.mark.all_databases


@pytest.fixture
def admin(app, factories) -> Browser:
    factories.user("admin", "admin")
    return Browser(app).sign_in("admin")


def given_up(sale, factories, told) -> str:
    """Store an event as one that was given up, without its effect."""
    body = sale.engine.translate_event(
        InboxEvent(payload_zlib=InboxEvent.pack(told.payload)).payload
    )
    factories.save(
        InboxEvent(
            tenant_id=sale.subscription.tenant_id, event_id=told.event_id, type=told.type,
            account=sale.account, livemode=False, created=body.created, attempts=8,
            payload_zlib=InboxEvent.pack(told.payload), outcome=Outcome.DEAD, detail="Given up.",
        )
    )  # fmt: skip
    return str(told.event_id)


def test_a_replay_is_shown_first_and_changes_nothing_until_it_is_pressed(
    sale, admin, factories
) -> None:
    engine_id = sale.pay()
    with time_machine.travel(clock.now() + timedelta(minutes=1), tick=False):
        failed, _ = sale.engine.provider.fail_renewal(engine_id)
        event_id = given_up(sale, factories, failed)
        admin.get("/admin/events")
        assert "1 event was given up after eight tries" in admin.text
        admin.get(admin.link("Show")).get(admin.link(failed.type))
        moves = sale.moves
        admin.get(admin.link("Replay…"))

        assert "UNBLOCKED → BLOCKED" in admin.text
        assert "A payment failed" in admin.text
        assert (sale.status, sale.moves) == ("UNBLOCKED", moves)
        stored = db.session.query(InboxEvent).filter_by(event_id=event_id).one()
        assert (stored.outcome, stored.status_after) == (Outcome.DEAD, None)

        admin.submit("Replay it")

    assert sale.status == "BLOCKED"
    assert "Replayed: A payment failed" in admin.text
    assert "What it changed" in admin.text
    stored = db.session.query(InboxEvent).filter_by(event_id=event_id).one()
    assert (stored.outcome, stored.status_after) == (Outcome.APPLIED, "BLOCKED")
    lines = db.session.query(TimelineEntry).filter_by(stripe_event_id=event_id)
    assert [line.move for line in lines] == ["FALL_BEHIND"]


def test_a_replay_of_what_is_known_changes_nothing_and_keeps_what_it_did(sale, admin) -> None:
    sale.pay()
    first = db.session.query(InboxEvent).order_by(InboxEvent.inbox_id).first()
    event_id, kept = first.event_id, (first.outcome, first.detail, first.status_after)
    moves = sale.moves
    admin.get(f"/admin/events/{event_id}/replay")
    assert "Nothing would change" in admin.text
    admin.submit("Replay it")
    assert sale.moves == moves
    again = db.session.query(InboxEvent).filter_by(event_id=event_id).one()
    assert (again.outcome, again.detail, again.status_after) == kept


def test_an_event_that_cannot_be_read_says_so_instead(sale, admin, factories) -> None:
    factories.save(
        InboxEvent(
            tenant_id=sale.subscription.tenant_id, event_id="evt_odd", type="odd", livemode=False,
            created=1_780_000_000, payload_zlib=InboxEvent.pack(b'{"odd": 1}'), outcome="dead",
        )
    )  # fmt: skip
    admin.get("/admin/events/evt_odd/replay")
    assert "It cannot be replayed" in admin.text


def test_events_are_kept_for_thirty_days_and_the_page_says_so(sale, admin) -> None:
    sale.pay()
    count = db.session.query(InboxEvent).count()
    assert count
    assert "Kept for 30 days" in admin.get("/admin/events").text
    begin = clock.now()
    db.session.rollback()
    with time_machine.travel(begin + timedelta(days=29, hours=23), tick=False):
        jobs.forget()
        assert db.session.query(InboxEvent).count() == count
        db.session.rollback()
    with time_machine.travel(begin + timedelta(days=30, hours=1), tick=False):
        jobs.forget()
        assert db.session.query(InboxEvent).count() == 0
    assert sale.status == "UNBLOCKED"
    assert "PAY" in sale.moves
