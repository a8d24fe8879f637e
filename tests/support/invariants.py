"""What must hold at any moment, whatever has broken: the invariants I1 to I10 of the goals.

| | what | looked at |
|---|---|---|
| I1 | no event is lost | what was answered is in the inbox, with its effect or seen by a person |
| I2 | an effect at most once | lines of the timeline by event; a life ends once |
| I3 | both sides agree in the end | `reconcile`: status, period, cancellation, price of each |
| I4 | no service without payment | no subscription is served that billing does not know as paid |
| I5 | no payment without service | `reconcile`, with no grace |
| I6 | usage is conserved | buckets = tally, batches = what the tally says is claimed |
| I7 | billed exactly once | `reconcile --usage`: what was acknowledged = what the meter counted |
| I8 | tenants apart | nothing of a tenant refers to anything of another |
| I9 | no secret leaves | every column that is not sealed, every log |
| I10 | closed while the database is away | about answers: the tests of F12 and F13 assert it |
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from portal.extensions import db
from portal.flows import reconciling
from portal.flows.reconciling import Usage
from portal.models import (
    Api,
    Application,
    Billing,
    CheckoutAttempt,
    EngineSubscription,
    InboxEvent,
    Outcome,
    Status,
    Subscription,
    TimelineEntry,
    UsageBatch,
    UsageBucket,
    UsageTally,
)

SECRETS = ("sk_test_", "whsec_")
#: Where secrets stand sealed, or are somebody's own words about what was sealed.
SEALED = ("_sealed",)
SERVED = (Status.UNBLOCKED, Status.PROD_ONLY_BLOCKED, Status.TIER_UPDATE_PENDING)


def check(
    engine_for: Callable[[Any], Any],
    *,
    answered: Iterable[str] = (),
    logs: Iterable[Path] = (),
    given_up: bool = False,
) -> None:
    """Fail with what does not hold. ``given_up`` allows events that wait for a person."""
    db.session.rollback()
    _no_lost_event(set(answered), given_up)
    _one_effect_each()
    _no_service_without_payment()
    _usage_is_conserved()
    _tenants_are_apart()
    _no_secret(logs)
    db.session.rollback()
    found = list(reconciling.differences(engine_for, usage=Usage.ALL, grace=timedelta(0)))
    left = [each for each in found if not (given_up and each.kind == "event_without_effect")]
    assert not left, f"I3, I5, I7: {left}"


def at_any_moment(answered: set[str]) -> None:
    """Fail with what may not be so even while events are on their way."""
    stored = {row[0] for row in db.session.query(InboxEvent.event_id)}
    assert answered <= stored, f"I1: lost {sorted(answered - stored)[:5]}"
    _one_effect_each()
    _no_service_without_payment()


def _no_lost_event(answered: set[str], given_up: bool) -> None:
    """I1: what was answered 2xx is stored, and has had its effect or is seen by a person."""
    stored = dict(db.session.query(InboxEvent.event_id, InboxEvent.outcome).all())
    assert answered <= set(stored), f"I1: lost {sorted(answered - set(stored))[:5]}"
    waiting = {Outcome.FAILED, Outcome.PARKED} | (set() if given_up else {Outcome.DEAD})
    left = {name: outcome for name, outcome in stored.items() if outcome in waiting}
    assert not left, f"I1: without effect {left}"


def _one_effect_each() -> None:
    """I2: an event makes each move of a subscription at most once; a life ends at most once."""
    rows = db.session.query(
        TimelineEntry.subscription_uuid, TimelineEntry.stripe_event_id, TimelineEntry.move
    ).all()
    by_event = Counter(row for row in rows if row[1])
    assert not [row for row, times in by_event.items() if times > 1], "I2: an effect twice"
    ends = Counter(row[0] for row in rows if row[2] == "END")
    assert not [row for row, times in ends.items() if times > 1], "I2: ended twice"


def _no_service_without_payment() -> None:
    """I4: nobody is served whom billing does not know as paid or free."""
    for row in db.session.query(Subscription):
        if row.facts.billing not in (Billing.PAID, Billing.NOT_REQUIRED):
            assert row.status not in SERVED, f"I4: {row.uuid} is {row.status}"


def _usage_is_conserved() -> None:
    """I6: of each period, what was counted is in buckets, and what was claimed is in batches."""
    bucket, batch = UsageBucket, UsageBatch
    counted = _sums(
        sa.select(bucket.subscription_id, bucket.period_start, sa.func.sum(bucket.calls)).where(
            bucket.reason == "", bucket.claim >= 0
        ),
        bucket,
    )
    claimed = _sums(
        sa.select(batch.subscription_id, batch.period_start, sa.func.sum(batch.quantity)), batch
    )
    for row in db.session.query(UsageTally):
        key = (row.subscription_id, row.period_start)
        assert 0 <= row.claimed <= row.counted, f"I6: {key} claims more than was counted"
        assert counted.get(key, 0) == row.counted, f"I6: {key} buckets and tally differ"
        assert claimed.get(key, 0) == row.claimed, f"I6: {key} batches and tally differ"


def _sums(query: Any, kind: Any) -> dict[tuple[int, int], int]:
    rows = db.session.execute(query.group_by(kind.subscription_id, kind.period_start))
    return {(row[0], row[1]): int(row[2]) for row in rows}


def _tenants_are_apart() -> None:
    """I8: a subscription, its attempts, its records and its events are of one tenant."""
    own = Subscription.tenant_id
    for kind, column, link in (
        (Api, Api.tenant_id, Api.api_id == Subscription.api_id),
        (
            Application,
            Application.tenant_id,
            Application.application_id == Subscription.application_id,
        ),
        *(
            (each, each.tenant_id, each.am_subscription_id == Subscription.subscription_id)
            for each in (CheckoutAttempt, EngineSubscription, InboxEvent)
        ),
    ):
        query = sa.select(sa.func.count()).select_from(Subscription).join(kind, link)
        assert not db.session.scalar(query.where(column != own)), f"I8: {kind.__name__}"


def _no_secret(logs: Iterable[Path]) -> None:
    """I9: no secret stands in a column that is not sealed, or in a log."""
    for table in db.Model.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, sa.String) and not column.name.endswith(SEALED):
                found = [column.contains(secret, autoescape=True) for secret in SECRETS]
                query = sa.select(sa.func.count()).select_from(table).where(sa.or_(*found))
                assert not db.session.scalar(query), f"I9: a secret in {table.name}.{column.name}"
    for path in logs:
        text = path.read_text(errors="replace")
        assert not [secret for secret in SECRETS if secret in text], f"I9: a secret in {path}"
