"""The life of a subscription, as tables written out by hand."""

import itertools

import pytest

from portal.errors import MoveRefused
from portal.models import Approval, Billing, Block, Facts, Status, TimelineEntry
from portal.models.subscription import status_of
from portal.services import subscriptions
from portal.services.subscriptions import Cause, Move

#: What each billing move does from each billing fact.
BILLING_MOVES = """
             NOT_REQUIRED  PENDING   LAPSED    PAID      OVERDUE   ENDED
PAY          refused       PAID      PAID      stays     refused   refused
LAPSE        refused       LAPSED    stays     refused   refused   refused
TRY_AGAIN    refused       stays     PENDING   refused   refused   refused
FALL_BEHIND  refused       refused   refused   OVERDUE   stays     refused
CATCH_UP     refused       refused   refused   stays     PAID      refused
END          ENDED         ENDED     ENDED     ENDED     ENDED     stays
"""

#: The status that follows, by billing (rows) and publisher's block (columns).
STATUSES = """
              NONE        PRODUCTION         ALL
NOT_REQUIRED  UNBLOCKED   PROD_ONLY_BLOCKED  BLOCKED
PENDING       ON_HOLD     ON_HOLD            ON_HOLD
LAPSED        REJECTED    REJECTED           REJECTED
PAID          UNBLOCKED   PROD_ONLY_BLOCKED  BLOCKED
OVERDUE       BLOCKED     BLOCKED            BLOCKED
ENDED         ENDED       ENDED              ENDED
"""


def cells(table):
    head, *rows = [line.split() for line in table.strip().splitlines()]
    for name, *values in rows:
        for column, value in zip(head, values, strict=True):
            yield name, column, value


@pytest.mark.parametrize(("move", "start", "expected"), cells(BILLING_MOVES))
def test_each_billing_move_does_what_the_table_says(move, start, expected):
    before = Facts(billing=Billing[start])

    after = Move[move].from_facts(before)

    if expected == "refused":
        assert after is None
    elif expected == "stays":
        assert after == before
    else:
        assert after == Facts(billing=Billing[expected])


@pytest.mark.parametrize(("billing", "block", "expected"), cells(STATUSES))
def test_the_status_follows_from_the_facts(billing, block, expected):
    assert status_of(Facts(billing=Billing[billing], block=Block[block])) is Status[expected]


def test_the_tables_are_complete():
    moves = {name for name, _, _ in cells(BILLING_MOVES)}
    others = {"BLOCK_ALL", "BLOCK_PRODUCTION", "UNBLOCK", "APPROVE", "REJECT"}
    others |= {"ASK_PLAN_CHANGE", "SETTLE_PLAN_CHANGE", "ASK_END", "WITHDRAW_END"}
    assert moves | others == {move.name for move in Move}
    assert {name for name, _, _ in cells(STATUSES)} == {fact.name for fact in Billing}


def test_a_payment_never_lifts_a_publishers_block():
    for block, move in itertools.product((Block.ALL, Block.PRODUCTION), Move):
        if move in (Move.UNBLOCK, Move.BLOCK_ALL, Move.BLOCK_PRODUCTION):
            continue
        for billing in Billing:
            after = move.from_facts(Facts(billing=billing, block=block))
            assert after is None or after.block is block, move


def test_nothing_moves_what_has_ended():
    ended = Facts(billing=Billing.ENDED)
    for move in Move:
        after = move.from_facts(ended)
        assert after is None or status_of(after) is Status.ENDED


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(billing=Billing.PAID, approval=Approval.PENDING), Status.ON_HOLD),
        (Facts(billing=Billing.PENDING, approval=Approval.APPROVED), Status.ON_HOLD),
        (Facts(billing=Billing.PAID, approval=Approval.REJECTED), Status.REJECTED),
        (Facts(billing=Billing.PAID, plan_change_pending=True), Status.TIER_UPDATE_PENDING),
        (Facts(billing=Billing.PAID, end_requested=True), Status.DELETE_PENDING),
        (Facts(billing=Billing.PENDING, end_requested=True), Status.DELETE_PENDING),
    ],
)
def test_approval_plan_change_and_ending_show_in_the_status(facts, expected):
    assert status_of(facts) is expected


def test_a_move_writes_its_cause_to_the_timeline(app, factories):
    from portal.extensions import db
    from portal.web.unit_of_work import unit_of_work

    subscription = factories.subscription(billing="PAID")

    with unit_of_work():
        changed = subscriptions.make(
            subscription, Move.BLOCK_ALL, Cause(because="Too many calls.", actor="pat")
        )

    entry = db.session.query(TimelineEntry).one()
    assert changed
    assert (entry.status_before, entry.status_after) == ("UNBLOCKED", "BLOCKED")
    assert (entry.because, entry.actor) == ("Too many calls.", "pat")


def test_a_move_to_where_it_stands_writes_nothing(app, factories):
    from portal.extensions import db
    from portal.web.unit_of_work import unit_of_work

    subscription = factories.subscription(billing="PAID")

    with unit_of_work():
        assert not subscriptions.make(
            subscription, Move.CATCH_UP, Cause(because="Paid again.", actor="stripe")
        )

    assert db.session.query(TimelineEntry).count() == 0


def test_a_refused_move_says_what_it_was(app, factories):
    subscription = factories.subscription(billing="ENDED")

    with pytest.raises(MoveRefused, match="ENDED cannot pay"):
        subscriptions.make(subscription, Move.PAY, Cause(because="", actor="stripe"))
