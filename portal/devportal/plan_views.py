"""Changing a subscription's plan: which plans there are, what a change costs, and the press."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal import clock
from portal.devportal import bp
from portal.errors import BillingEngineError, Invalid, PortalError
from portal.extensions import db
from portal.flows import cancelling, changing_free, changing_plan
from portal.models import Policy, Subscription
from portal.services import plan_changes, plan_moves, status_words
from portal.services.plan_changes import Target, Way
from portal.web.access import me, subscriber_only
from portal.web.engines import engine_of
from portal.web.payment_urls import return_urls
from portal.web.tenancy import own_subscription, policy_of

#: The last second that a 32-bit clock and every database can state.
LATEST = 2**31 - 1


@bp.get("/subscriptions/<uuid:uuid>/plan")
@subscriber_only
def plans(uuid: UUID) -> str:
    """List the plans that the subscription can change to; nothing is asked at the engine."""
    found = own_subscription(me(), str(uuid))
    return render_template(
        "devportal/change_plan.html",
        subscription=found,
        obstacle=plan_changes.obstacle(found),
        targets=plan_changes.targets(found, me()),
    )


@bp.get("/subscriptions/<uuid:uuid>/plan/<uuid:policy>")
@subscriber_only
def plan_preview(uuid: UUID, policy: UUID) -> str | Response:
    """Say what the change costs: now, with the next invoices, and from when on."""
    found = own_subscription(me(), str(uuid))
    policy_of(me(), str(policy))
    try:
        target = plan_changes.target(found, me(), str(policy))
        return _PREVIEWS[target.way](found, target)
    except PortalError as error:
        db.session.rollback()
        flash(error.message, "error")
        return redirect(url_for("devportal.plans", uuid=uuid), 303)


def _swap(found: Subscription, target: Target) -> str:
    uuid, policy = found.uuid, target.plan.policy.uuid
    preview = changing_plan.preview(engine_of(found.api.tenant), found, me(), policy)
    return render_template(
        "devportal/change_plan_preview.html",
        subscription=own_subscription(me(), uuid),
        preview=preview,
        moment=clock.epoch(preview.moment),
    )


def _from_free(found: Subscription, target: Target) -> str:
    """Another free plan, or a paid one: its first invoice is its price."""
    return render_template(
        "devportal/change_plan_pay.html",
        subscription=found,
        plan=target.plan,
        moment=clock.epoch(clock.now()),
    )


def _to_free(found: Subscription, target: Target) -> str:
    uuid, policy = found.uuid, target.plan.policy.uuid
    ends = cancelling.preview(engine_of(found.api.tenant), found)
    found = own_subscription(me(), uuid)
    plan = plan_changes.target(found, me(), policy).plan
    return render_template(
        "devportal/change_plan_free.html",
        subscription=found,
        plan=plan,
        ends=ends,
        moment=clock.epoch(ends.as_of),
    )


_PREVIEWS: dict[Way, Callable[[Subscription, Target], str]] = {
    Way.SWAP: _swap,
    Way.PAY: _from_free,
    Way.SWITCH: _from_free,
    Way.CANCEL: _to_free,
}


@bp.post("/subscriptions/<uuid:uuid>/plan/<uuid:policy>")
@subscriber_only
def change_plan(uuid: UUID, policy: UUID) -> Response:
    """Change the plan as it was previewed; a paid plan after a free one leads to its payment."""
    found = own_subscription(me(), str(uuid))
    wanted = policy_of(me(), str(policy))
    name, (version, moment) = wanted.display_name, _agreed()
    try:
        target = _target_of(found, wanted)
        if target is None:
            return redirect(url_for("stripe.checkout_url", subscriptionId=uuid), 303)
        return _CHANGES[target.way](found, Press(str(policy), name, version, moment))
    except PortalError as error:
        db.session.rollback()
        flash(f"{error.message} The plan stays as it was.", "error")
        return redirect(url_for("devportal.plans", uuid=uuid), 303)


class Press(NamedTuple):
    """What was pressed: the plan, and the version and second that its page showed."""

    policy: str
    name: str
    version: int
    moment: int


def _target_of(found: Subscription, wanted: Policy) -> Target | None:
    """Return the plan to change to; ``None`` if this change waits for its payment already."""
    known = plan_moves.awaiting_payment(found)
    if known is not None and known.to_version.policy_id == wanted.policy_id:
        return None
    return plan_changes.target(found, me(), wanted.uuid)


def _change_price(found: Subscription, press: Press) -> Response:
    engine, uuid, user_id = engine_of(found.api.tenant), found.uuid, me().user_id
    db.session.rollback()
    is_done = changing_plan.change(
        engine,
        uuid,
        user_id,
        press.policy,
        version_id=press.version,
        moment=clock.from_epoch(press.moment),
    )
    return _done(uuid, press.name, is_done=is_done)


def _done(uuid: str, name: str, *, is_done: bool) -> Response:
    if is_done:
        flash(f"The plan is {name} now.", "success")
    else:
        flash(f"Stripe has not confirmed {name} yet. It is tried again by itself.", "info")
    return redirect(url_for("devportal.subscription", uuid=uuid), 303)


def _pay(found: Subscription, press: Press) -> Response:
    """Lead to the payment page. If it does not open, Complete Payment tries again."""
    engine, uuid, user_id = engine_of(found.api.tenant), found.uuid, me().user_id
    urls = return_urls(found)
    db.session.rollback()
    home = url_for("devportal.subscription", uuid=uuid)
    try:
        page = changing_free.go_paid(
            engine, uuid, user_id, press.policy, version_id=press.version, urls=urls
        )
    except BillingEngineError as error:
        db.session.rollback()
        flash(f"{error.message} Press Complete Payment to try again.", "error")
        return redirect(home, 303)
    return redirect(page or home, 303)


def _switch(found: Subscription, press: Press) -> Response:
    uuid, user_id = found.uuid, me().user_id
    db.session.rollback()
    changing_free.switch(uuid, user_id, press.policy, version_id=press.version)
    return _done(uuid, press.name, is_done=True)


def _end_paid(found: Subscription, press: Press) -> Response:
    engine, uuid, user_id = engine_of(found.api.tenant), found.uuid, me().user_id
    at_once = request.form.get("when") == "now"
    db.session.rollback()
    is_done = changing_free.go_free(
        engine, uuid, user_id, press.policy, version_id=press.version, at_once=at_once
    )
    until = own_subscription(me(), uuid).cancel_at
    if is_done and until is not None:
        flash(
            f"{press.name} begins on {status_words.at(until)}. Press Keep the subscription to take "
            "it back.",
            "success",
        )
        return redirect(url_for("devportal.subscription", uuid=uuid), 303)
    return _done(uuid, press.name, is_done=is_done)


_CHANGES: dict[Way, Callable[[Subscription, Press], Response]] = {
    Way.SWAP: _change_price,
    Way.PAY: _pay,
    Way.SWITCH: _switch,
    Way.CANCEL: _end_paid,
}


@bp.post("/subscriptions/<uuid:uuid>/plan/stay")
@subscriber_only
def keep_free_plan(uuid: UUID) -> Response:
    """Take back a change from a free plan to a paid one that nobody has paid."""
    own_subscription(me(), str(uuid))
    actor = me().qualified_name
    db.session.rollback()
    try:
        stays = changing_free.keep_free(engine_of, str(uuid), actor=actor)
    except PortalError as error:
        db.session.rollback()
        flash(f"{error.message} The page is closed by itself.", "error")
    else:
        words = "The free plan stays." if stays else "The payment was quicker: the plan is paid."
        flash(words, "success" if stays else "info")
    return redirect(url_for("devportal.subscription", uuid=uuid), 303)


def _agreed() -> tuple[int, int]:
    """Return the version and the second that the preview showed."""
    version = request.form.get("version", 0, type=int)
    moment = request.form.get("moment", 0, type=int)
    if not 0 < version <= LATEST or not 0 < moment <= LATEST:
        raise Invalid("Open the plan again to see what it costs, then press Change plan.")
    return version, moment
