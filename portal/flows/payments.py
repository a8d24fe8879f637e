"""Paying for a subscription, and ending one: the acts that need the billing engine.

Each flow reads what it needs and closes its transaction before it calls out, and reads again
afterwards. Each may be interrupted anywhere and run again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from sqlalchemy import select

from portal import clock
from portal.billing.engine import (
    BillingEngine,
    CheckoutSession,
    CheckoutSpec,
    CheckoutState,
    CustomerSpec,
)
from portal.errors import (
    BillingEngineError,
    Conflict,
    EngineAccessDenied,
    EngineUnavailable,
    NotFound,
)
from portal.extensions import db
from portal.flows import refunding, sweeping
from portal.models import (
    Billing,
    CheckoutAttempt,
    CheckoutStatus,
    Subscription,
    Tenant,
    User,
)
from portal.services import billing_events, checkouts, subscriptions, unfinished
from portal.services.checkouts import ReturnUrls
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import in_unit_of_work, unit_of_work

EngineFor = Callable[[Tenant], BillingEngine]


@dataclass(frozen=True, kw_only=True)
class _Intent:
    """What is sent for an attempt, as plain values: no transaction stays open while calling."""

    attempt_id: int
    account: str
    session_id: str | None
    customer_key: str
    customer_id: str | None
    customer: CustomerSpec
    page_key: str
    page: CheckoutSpec


def open_page(
    engine: BillingEngine, subscription_uuid: str, user_id: int, urls: ReturnUrls
) -> str | None:
    """Return the address of the payment page; ``None`` if it turns out to be paid already.

    The first call stores the attempt and opens the page; later ones read it again. Two at once
    get the same page.

    :raise portal.errors.Conflict: if there is nothing to pay, or the page has just expired
    """
    intent = in_unit_of_work(lambda: _intend(subscription_uuid, user_id, urls))
    if intent.session_id is not None:
        page = engine.checkout(intent.account, intent.session_id)
    else:
        page = _open(engine, intent)
    _apply_page(intent.attempt_id, page, actor="stripe")
    if page.state is CheckoutState.EXPIRED:
        raise Conflict("The payment page has expired. Open the subscription to begin again.")
    return page.url if page.state is CheckoutState.OPEN else None


def _intend(subscription_uuid: str, user_id: int, urls: ReturnUrls) -> _Intent:
    subscription = db.session.scalars(
        select(Subscription).where(Subscription.uuid == subscription_uuid)
    ).one()
    user = db.session.get_one(User, user_id)
    attempt = checkouts.attempt_for(subscription, user, urls)
    db.session.flush()
    owner = subscription.application.owner
    name = f"{owner.display_name} ({subscription.application.name})"[:256]
    about = {
        "apim_subscription_uuid": subscription.uuid,
        "apim_tenant": subscription.api.tenant.tenant_domain,
        "apim_workflow_reference": attempt.workflow_reference,
    }
    return _Intent(
        attempt_id=attempt.attempt_id,
        account=attempt.connected_account,
        session_id=attempt.session_id,
        customer_key=f"customer:{attempt.customer.uuid}:{_digest(name, owner.email)}",
        customer_id=attempt.customer.shared_customer_id,
        customer=CustomerSpec(
            name=name,
            email=owner.email,
            metadata={
                "apim_application_uuid": subscription.application.uuid,
                "apim_tenant": about["apim_tenant"],
            },
        ),
        page_key=f"checkout:{attempt.uuid}",
        page=checkouts.page_spec(attempt, subscription, about),
    )


def _digest(*values: str | None) -> str:
    """Tell one set of values from another: after a rename the call is a new one, not refused."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _open(engine: BillingEngine, intent: _Intent) -> CheckoutSession:
    customer_id = intent.customer_id
    if customer_id is None:
        customer_id = engine.ensure_customer(
            intent.account, intent.customer, key=intent.customer_key
        )
        _store_customer(intent.attempt_id, customer_id)
    spec = CheckoutSpec(**{**vars(intent.page), "customer_id": customer_id})
    try:
        return engine.open_checkout(intent.account, spec, key=intent.page_key)
    except EngineUnavailable:
        raise
    except BillingEngineError:
        # Refused for good, for example because this attempt is too old to be opened any more:
        # the same call would be refused for ever, so the next press begins a new attempt.
        _give_up(intent.attempt_id)
        raise


def _store_customer(attempt_id: int, customer_id: str) -> None:
    def store() -> None:
        customer = db.session.get_one(CheckoutAttempt, attempt_id).customer
        if customer.shared_customer_id is None:
            customer.shared_customer_id = customer_id

    in_unit_of_work(store)


def _give_up(attempt_id: int) -> None:
    def close() -> None:
        checkouts.give_up(db.session.get_one(CheckoutAttempt, attempt_id))

    in_unit_of_work(close)


def _apply_page(attempt_id: int, page: CheckoutSession, *, actor: str) -> bool:
    def store() -> bool:
        attempt = db.session.get_one(CheckoutAttempt, attempt_id)
        subscription = db.session.get_one(Subscription, attempt.am_subscription_id)
        if page.state is CheckoutState.OPEN and attempt.status == CheckoutStatus.PENDING:
            attempt.session_id, attempt.checkout_url = page.session_id, page.url
            return False
        words = {
            CheckoutState.COMPLETE: "The payment is confirmed.",
            CheckoutState.EXPIRED: "Not paid within 24 hours.",
            CheckoutState.OPEN: "",
        }[page.state]
        return checkouts.apply(attempt, subscription, page, Cause(because=words, actor=actor))

    return in_unit_of_work(store)


def settle(engine: BillingEngine, session_id: str) -> Subscription:
    """Read a payment page's present state and apply it; return its subscription.

    Runs when the browser comes back and when the worker looks for what never arrived. Never
    trusts who asks: only what the engine answers counts.

    :raise portal.errors.NotFound: if the page is not one that this portal opened
    """
    attempt = db.session.scalars(
        select(CheckoutAttempt).where(CheckoutAttempt.session_id == session_id)
    ).one_or_none()
    if attempt is None:
        raise NotFound("No checkout session found for the given session_id")
    attempt_id, subscription_id = attempt.attempt_id, attempt.am_subscription_id
    account, is_open = attempt.connected_account, attempt.status == CheckoutStatus.PENDING
    db.session.rollback()
    if is_open:
        _apply_page(attempt_id, engine.checkout(account, session_id), actor="stripe")
    return db.session.get_one(Subscription, subscription_id)


def try_again(
    engine: BillingEngine, subscription_uuid: str, user_id: int, urls: ReturnUrls
) -> str | None:
    """Start a new attempt for a subscription that lapsed, and return its payment page."""

    def restart() -> None:
        subscription = db.session.scalars(
            select(Subscription).where(Subscription.uuid == subscription_uuid)
        ).one()
        checkouts.try_again(subscription, db.session.get_one(User, user_id))

    in_unit_of_work(restart)
    return open_page(engine, subscription_uuid, user_id, urls)


# --- ending ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Ending:
    subscription_id: int
    account: str | None
    attempts: tuple[int, ...]
    engine_id: str | None


def end(engine_for: EngineFor, subscription_uuid: str, *, actor: str, because: str) -> bool:
    """End a subscription: close its payment page, report its last usage, cancel at the engine.

    Whether the engine is asked is decided by what was sold, never by the API's present setting.
    If the payment wins the race against the closing page, it is cancelled and paid back.
    Interrupted, the subscription is DELETE_PENDING; pressing again, or the worker, finishes.
    Returns whether it ended now; ending one that has ended changes nothing.
    """
    ending = in_unit_of_work(lambda: _ask_end(subscription_uuid, actor, because))
    if ending is None:
        return False
    if ending.account is not None:
        _end_at_engine(engine_for, ending)
        # What does not go back now, the worker pays back: the ending does not wait for it.
        refunding.pay_back_all(engine_for, ending.subscription_id)

    def finish() -> bool:
        subscription = db.session.get_one(Subscription, ending.subscription_id)
        return billing_events.end(subscription, Cause(because=because, actor=actor))

    return in_unit_of_work(finish)


def _ask_end(subscription_uuid: str, actor: str, because: str) -> _Ending | None:
    subscription = db.session.scalars(
        select(Subscription).where(Subscription.uuid == subscription_uuid)
    ).one()
    if subscription.facts.billing is Billing.ENDED:
        return None
    subscriptions.make(subscription, Move.ASK_END, Cause(because=because, actor=actor))
    attempts = db.session.scalars(
        select(CheckoutAttempt.attempt_id).where(
            CheckoutAttempt.am_subscription_id == subscription.subscription_id,
            CheckoutAttempt.status == CheckoutStatus.PENDING,
        )
    ).all()
    return _Ending(
        subscription_id=subscription.subscription_id,
        account=subscription.connected_account,
        attempts=tuple(attempts),
        engine_id=subscription.engine_subscription_id,
    )


def _end_at_engine(engine_for: EngineFor, ending: _Ending) -> None:
    from portal.flows import publishing

    account = ending.account or ""
    subscription = db.session.get_one(Subscription, ending.subscription_id)
    tenant = subscription.api.tenant
    engine = engine_for(tenant)
    db.session.rollback()
    for attempt_id in ending.attempts:
        close_page(engine_for, attempt_id)
    engine_id = db.session.get_one(Subscription, ending.subscription_id).engine_subscription_id
    db.session.rollback()
    if engine_id is not None:
        publishing.flush(engine, ending.subscription_id)
        engine.cancel_subscription(account, engine_id)


def close_page(engine_for: EngineFor, attempt_id: int) -> None:
    """Close a payment page so that nobody can pay there; a payment that was quicker counts."""
    attempt = db.session.get_one(CheckoutAttempt, attempt_id)
    account, session_id = attempt.connected_account, attempt.session_id
    reference, customer_id = attempt.open_key, attempt.customer.shared_customer_id
    engine = engine_for(db.session.get_one(Tenant, attempt.tenant_id))
    db.session.rollback()
    if session_id is None and reference is not None and customer_id is not None:
        session_id = _unanswered(engine, account, reference)
    if session_id is None:
        # Its address was never shown to anybody, so nobody can pay there.
        _give_up(attempt_id)
    else:
        _apply_page(attempt_id, engine.expire_checkout(account, session_id), actor="stripe")


def _unanswered(engine: BillingEngine, account: str, reference: str) -> str | None:
    """Find an open page that was made, and whose answer was lost."""
    try:
        pages = engine.open_checkouts(account)
        return next((page.session_id for page in pages if page.reference == reference), None)
    except EngineAccessDenied:
        return None


# --- what the worker does -------------------------------------------------------------------


def sweep(engine_for: EngineFor) -> int:
    """Finish what an event or a person left unfinished; return how much was tried.

    Payment pages whose expiry or completion never arrived are read at the engine, and endings
    that were interrupted go on.
    """
    now = clock.now()
    lapsed = partial(unfinished.unpaid_subscriptions, now)
    overdue = partial(unfinished.expired_pages, now)
    interrupted = partial(unfinished.endings, now - timedelta(minutes=1))
    return (
        sweeping.in_turn("unpaid", lapsed, _lapse_forgotten)
        + sweeping.in_turn("payments", overdue, partial(_sweep_attempt, engine_for))
        + sweeping.in_turn("interrupted endings", interrupted, partial(_finish_ending, engine_for))
    )


def _lapse_forgotten(subscription_id: int) -> None:
    def lapse() -> None:
        subscription = db.session.get_one(Subscription, subscription_id)
        if checkouts.open_attempt(subscription) is None and subscriptions.may(
            subscription, Move.LAPSE
        ):
            cause = Cause(because="Not paid within 24 hours.", actor="worker")
            subscriptions.make(subscription, Move.LAPSE, cause)

    in_unit_of_work(lapse)


def _finish_ending(engine_for: EngineFor, subscription_id: int) -> None:
    uuid = db.session.get_one(Subscription, subscription_id).uuid
    end(engine_for, uuid, actor="worker", because="Finished the ending that was asked for.")


def _sweep_attempt(engine_for: EngineFor, attempt_id: int) -> None:
    attempt = db.session.get_one(CheckoutAttempt, attempt_id)
    session_id = attempt.session_id
    if session_id is not None:
        engine = engine_for(db.session.get_one(Tenant, attempt.tenant_id))
        db.session.rollback()
        settle(engine, session_id)
        return
    with unit_of_work():
        attempt = db.session.get_one(CheckoutAttempt, attempt_id)
        subscription = db.session.get_one(Subscription, attempt.am_subscription_id)
        cause = Cause(because="Not paid within 24 hours.", actor="worker")
        checkouts.lapse(attempt, subscription, cause)
