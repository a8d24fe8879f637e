"""Subscriptions: the list of an application, one subscription, its invoices, and its end."""

from uuid import UUID

from flask import flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from portal.devportal import bp
from portal.devportal.views import page_number
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import cancelling, invoicing, payments
from portal.models import Subscription
from portal.services import checkouts, situations, status_words
from portal.services.paging import page_of
from portal.services.within_tenant import without_tenants
from portal.web.access import me, subscriber_only
from portal.web.engines import engine_of
from portal.web.payment_urls import return_urls
from portal.web.tenancy import own_application, own_subscription
from portal.web.unit_of_work import in_unit_of_work

#: Looks every three seconds for two minutes: by then Stripe has answered or somebody must look.
MOST_LOOKS = 40
#: Tells htmx to swap once more and to stop asking.
STOP_POLLING = 286
ENDED_SHOWN = 20


@bp.get("/applications/<uuid:uuid>/subscriptions")
@subscriber_only
def subscriptions(uuid: UUID) -> str:
    """List an application's subscriptions with what can be pressed, and those that ended."""
    found = own_application(me(), str(uuid))
    mine = Subscription.application_id == found.application_id
    all_of_it = select(Subscription).options(*without_tenants())
    page = page_of(
        all_of_it.where(mine, Subscription.ended_at.is_(None)).order_by(
            Subscription.subscription_id.desc()
        ),
        page_number(),
    )
    ended = page_of(
        all_of_it.where(mine, Subscription.ended_at.is_not(None)).order_by(
            Subscription.ended_at.desc()
        ),
        1,
        per_page=ENDED_SHOWN,
    )
    return render_template(
        "devportal/subscriptions.html",
        application=found,
        page=page,
        situations=situations.of_all(page.items),
        ended=situations.of_all(ended.items),
        ended_total=ended.total,
    )


@bp.get("/subscriptions/<uuid:uuid>")
@subscriber_only
def subscription(uuid: UUID) -> str:
    """Show a subscription; with ``waiting``, until its payment is confirmed."""
    return render_template("devportal/subscription.html", **_shown(uuid))


@bp.get("/subscriptions/<uuid:uuid>/state")
@subscriber_only
def subscription_state(uuid: UUID) -> Response:
    """Answer htmx with the page's body; 286 stops its asking."""
    shown = _shown(uuid)
    response = make_response(render_template("devportal/_subscription.html", **shown))
    response.status_code = 200 if shown["next_look"] else STOP_POLLING
    return response


def _shown(uuid: UUID) -> dict[str, object]:
    found = own_subscription(me(), str(uuid))
    situation = situations.of(found)
    looks = min(max(request.args.get("waiting", 0, type=int), 0), MOST_LOOKS)
    waits = (found.can_pay or found.can_pay_change) and looks > 0
    return {
        "subscription": found,
        "situation": situation,
        "history": situations.history(found),
        "consumption": [] if found.can_pay else situations.consumption(found),
        "waits": waits,
        "next_look": looks + 1 if waits and looks < MOST_LOOKS else None,
    }


@bp.get("/subscriptions/<uuid:uuid>/invoice")
@subscriber_only
def invoice(uuid: UUID) -> str:
    """Show what the period has cost so far, and the past invoices (View Invoice)."""
    found = own_subscription(me(), str(uuid))
    statement = invoicing.current(engine_of(found.api.tenant), found)
    return render_template("devportal/invoice.html", subscription=found, statement=statement)


@bp.post("/subscriptions/<uuid:uuid>/try-again")
@subscriber_only
def try_again(uuid: UUID) -> Response:
    """Let a subscription that was not paid in time wait for payment again, and go and pay."""

    def restart() -> None:
        found = own_subscription(me(), str(uuid))
        checkouts.try_again(found, me())
        checkouts.attempt_for(found, me(), return_urls(found))

    in_unit_of_work(restart)
    return redirect(url_for("stripe.checkout_url", subscriptionId=uuid), 303)


@bp.get("/subscriptions/<uuid:uuid>/unsubscribe")
@subscriber_only
def confirm_unsubscribe(uuid: UUID) -> str | Response:
    """Say what unsubscribing does and costs, now or with the period."""
    found = own_subscription(me(), str(uuid))
    if found.ended_at is not None:
        return redirect(url_for("devportal.subscription", uuid=uuid), 303)
    ends = cancelling.preview(engine_of(found.api.tenant), found) if found.is_billed else None
    return render_template(
        "devportal/unsubscribe.html", subscription=own_subscription(me(), str(uuid)), ends=ends
    )


@bp.post("/subscriptions/<uuid:uuid>/unsubscribe")
@subscriber_only
def unsubscribe(uuid: UUID) -> Response:
    """End a subscription, here and at the billing engine: now, or with ``when=later``."""
    found = own_subscription(me(), str(uuid))
    application_uuid, name, actor = found.application.uuid, found.api.api_name, me().qualified_name
    if request.form.get("when") == "later":
        return _unsubscribe_later(found, actor)
    db.session.rollback()
    try:
        payments.end(engine_of, str(uuid), actor=actor, because="The subscriber unsubscribed.")
    except PortalError as error:
        db.session.rollback()
        flash(f"{error.message} Press Unsubscribe again to finish.", "error")
        return redirect(url_for("devportal.subscription", uuid=uuid), 303)
    flash(f"Unsubscribed from {name}.", "success")
    return redirect(url_for("devportal.subscriptions", uuid=application_uuid), 303)


def _unsubscribe_later(found: Subscription, actor: str) -> Response:
    uuid, name = found.uuid, found.api.api_name
    try:
        ends = cancelling.at_period_end(engine_of(found.api.tenant), uuid, actor=actor)
    except PortalError as error:
        db.session.rollback()
        flash(error.message, "error")
    else:
        until = f" until {status_words.at(ends)}" if ends else ""
        flash(f"{name} works{until}. Press Keep the subscription to take it back.", "success")
    return redirect(url_for("devportal.subscription", uuid=uuid), 303)


@bp.post("/subscriptions/<uuid:uuid>/keep")
@subscriber_only
def keep(uuid: UUID) -> Response:
    """Take back an end that is planned for later."""
    found = own_subscription(me(), str(uuid))
    try:
        cancelling.keep(engine_of(found.api.tenant), found.uuid, actor=me().qualified_name)
    except PortalError as error:
        db.session.rollback()
        flash(error.message, "error")
    else:
        flash("The subscription goes on.", "success")
    return redirect(url_for("devportal.subscription", uuid=uuid), 303)
