"""Changing a subscription's plan: which plans there are, what a change costs, and the press."""

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal import clock
from portal.devportal import bp
from portal.errors import Invalid, PortalError
from portal.extensions import db
from portal.flows import changing_plan
from portal.services import plan_changes
from portal.web.access import me, subscriber_only
from portal.web.engines import engine_of
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
        preview = changing_plan.preview(engine_of(found.api.tenant), found, me(), str(policy))
    except PortalError as error:
        db.session.rollback()
        flash(error.message, "error")
        return redirect(url_for("devportal.plans", uuid=uuid), 303)
    return render_template(
        "devportal/change_plan_preview.html",
        subscription=own_subscription(me(), str(uuid)),
        preview=preview,
        moment=clock.epoch(preview.moment),
    )


@bp.post("/subscriptions/<uuid:uuid>/plan/<uuid:policy>")
@subscriber_only
def change_plan(uuid: UUID, policy: UUID) -> Response:
    """Change the plan as it was previewed."""
    found = own_subscription(me(), str(uuid))
    wanted = policy_of(me(), str(policy))
    engine, name, user_id = engine_of(found.api.tenant), wanted.display_name, me().user_id
    number, moment = _agreed()
    db.session.rollback()
    try:
        is_done = changing_plan.change(
            engine,
            str(uuid),
            user_id,
            str(policy),
            version_id=number,
            moment=clock.from_epoch(moment),
        )
    except PortalError as error:
        db.session.rollback()
        flash(f"{error.message} The plan stays as it was.", "error")
        return redirect(url_for("devportal.plans", uuid=uuid), 303)
    if is_done:
        flash(f"The plan is {name} now.", "success")
    else:
        flash(f"Stripe has not confirmed {name} yet. It is tried again by itself.", "info")
    return redirect(url_for("devportal.subscription", uuid=uuid), 303)


def _agreed() -> tuple[int, int]:
    """Return the version and the second that the preview showed."""
    version = request.form.get("version", 0, type=int)
    moment = request.form.get("moment", 0, type=int)
    if not 0 < version <= LATEST or not 0 < moment <= LATEST:
        raise Invalid("Open the plan again to see what it costs, then press Change plan.")
    return version, moment
