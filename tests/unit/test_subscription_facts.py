"""The life of a subscription, as tables written out by hand."""

import itertools
from dataclasses import replace

import pytest

from portal.errors import MoveRefused
from portal.models import Approval, Billing, Block, Facts, Status, TimelineEntry
from portal.models.subscription import status_of
from portal.services import subscriptions
from portal.services.subscriptions import Cause, Move

#: What each billing move does from each billing fact.
BILLING_MOVES = """
             NOT_REQUIRED  PENDING   LAPSED    PAID      GRACE     OVERDUE   ENDED
PAY          refused       PAID      PAID      stays     refused   refused   refused
LAPSE        refused       LAPSED    stays     refused   refused   refused   refused
TRY_AGAIN    refused       stays     PENDING   refused   refused   refused   refused
FALL_BEHIND  refused       refused   refused   OVERDUE   refused   stays     refused
GIVE_GRACE   refused       refused   refused   GRACE     stays     refused   refused
RUN_OUT      refused       refused   refused   refused   OVERDUE   stays     refused
CATCH_UP     refused       refused   refused   stays     PAID      PAID      refused
GO_PAID      PAID          refused   refused   refused   refused   refused   refused
GO_FREE      refused       refused   refused   NOT_REQUIRED NOT_REQUIRED NOT_REQUIRED refused
END          ENDED         ENDED     ENDED     ENDED     ENDED     ENDED     stays
"""

#: What every other move does from each billing fact: to which fact it leads.
OTHER_MOVES = """
                    NOT_REQUIRED PENDING    LAPSED     PAID       GRACE      OVERDUE    ENDED
BLOCK_ALL           ALL          ALL        ALL        ALL        ALL        ALL        refused
BLOCK_PRODUCTION    PRODUCTION   PRODUCTION PRODUCTION PRODUCTION PRODUCTION PRODUCTION refused
UNBLOCK             stays        stays      stays      stays      stays      stays      refused
APPROVE             refused      refused    refused    refused    refused    refused    refused
REJECT              refused      refused    refused    refused    refused    refused    refused
ASK_PLAN_CHANGE     asked        asked      asked      asked      asked      asked      refused
SETTLE_PLAN_CHANGE  stays        stays      stays      stays      stays      stays      refused
ASK_END             asked        asked      asked      asked      asked      asked      refused
WITHDRAW_END        stays        stays      stays      stays      stays      stays      refused
"""

#: What each move does from each approval, of a subscription that was paid.
APPROVAL_MOVES = """
                    NOT_REQUIRED      PENDING           APPROVED          REJECTED
APPROVE             refused           approval=APPROVED stays             refused
REJECT              refused           approval=REJECTED refused           stays
BLOCK_ALL           block=ALL         block=ALL         block=ALL         refused
BLOCK_PRODUCTION    block=PRODUCTION  block=PRODUCTION  block=PRODUCTION  refused
UNBLOCK             stays             stays             stays             refused
FALL_BEHIND         billing=OVERDUE   billing=OVERDUE   billing=OVERDUE   billing=OVERDUE
END                 billing=ENDED     billing=ENDED     billing=ENDED     billing=ENDED
ASK_END             end=yes           end=yes           end=yes           end=yes
ASK_PLAN_CHANGE     change=yes        change=yes        change=yes        change=yes
"""

#: What each move does from each block, of a subscription that was paid.
BLOCK_MOVES = """
                    NONE              PRODUCTION        ALL
BLOCK_ALL           block=ALL         block=ALL         stays
BLOCK_PRODUCTION    block=PRODUCTION  stays             block=PRODUCTION
UNBLOCK             stays             block=NONE        block=NONE
FALL_BEHIND         billing=OVERDUE   billing=OVERDUE   billing=OVERDUE
CATCH_UP            stays             stays             stays
END                 billing=ENDED     billing=ENDED     billing=ENDED
"""

#: The status that follows, by billing (rows) and publisher's block (columns).
STATUSES = """
              NONE        PRODUCTION         ALL
NOT_REQUIRED  UNBLOCKED   PROD_ONLY_BLOCKED  BLOCKED
PENDING       ON_HOLD     ON_HOLD            ON_HOLD
LAPSED        REJECTED    REJECTED           REJECTED
PAID          UNBLOCKED   PROD_ONLY_BLOCKED  BLOCKED
GRACE         UNBLOCKED   PROD_ONLY_BLOCKED  BLOCKED
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


#: Which fact a move of OTHER_MOVES is about.
ABOUT = {"BLOCK_ALL": "block", "BLOCK_PRODUCTION": "block", "ASK_PLAN_CHANGE": "change"}
FACT = {
    "billing": lambda value: {"billing": Billing[value]},
    "block": lambda value: {"block": Block[value]},
    "approval": lambda value: {"approval": Approval[value]},
    "change": lambda _: {"plan_change_pending": True},
    "end": lambda _: {"end_requested": True},
}


def starting(column, start):
    return Facts(**{"billing": Billing.PAID, **FACT[column](start)})


@pytest.mark.parametrize(
    ("column", "move", "start", "expected"),
    [("billing", *cell) for cell in cells(OTHER_MOVES)]
    + [("approval", *cell) for cell in cells(APPROVAL_MOVES)]
    + [("block", *cell) for cell in cells(BLOCK_MOVES)],
)
def test_each_move_changes_the_one_fact_that_the_table_says(column, move, start, expected):
    before = starting(column, start)

    after = Move[move].from_facts(before)

    if expected == "refused":
        assert after is None
    elif expected == "stays":
        assert after == before
    else:
        fact, _, value = expected.rpartition("=")
        fact = fact or ABOUT.get(move, "end")
        assert after == replace(before, **FACT[fact](value))


@pytest.mark.parametrize(
    ("move", "start", "end"),
    [
        (Move.SETTLE_PLAN_CHANGE, {"plan_change_pending": True}, {"plan_change_pending": False}),
        (Move.WITHDRAW_END, {"end_requested": True}, {"end_requested": False}),
        (Move.ASK_PLAN_CHANGE, {"plan_change_pending": True}, {"plan_change_pending": True}),
        (Move.ASK_END, {"end_requested": True}, {"end_requested": True}),
    ],
)
def test_what_was_asked_for_can_be_settled_or_withdrawn(move, start, end):
    paid = Billing.PAID
    assert move.from_facts(Facts(billing=paid, **start)) == Facts(billing=paid, **end)


@pytest.mark.parametrize(("billing", "block", "expected"), cells(STATUSES))
def test_the_status_follows_from_the_facts(billing, block, expected):
    assert status_of(Facts(billing=Billing[billing], block=Block[block])) is Status[expected]


def test_the_tables_are_complete():
    told = [name for table in (BILLING_MOVES, OTHER_MOVES) for name, _, _ in cells(table)]
    assert set(told) == {move.name for move in Move}
    assert len(told) == len(Move) * len(Billing)
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

    entry = db.session.query(TimelineEntry).filter_by(line=2).one()
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

    assert [entry.move for entry in db.session.query(TimelineEntry)] == ["SUBSCRIBE"]


def test_a_refused_move_says_what_it_was(app, factories):
    subscription = factories.subscription(billing="ENDED")

    with pytest.raises(MoveRefused, match="ENDED cannot pay"):
        subscriptions.make(subscription, Move.PAY, Cause(because="", actor="stripe"))
