"""The Stripe service: to the payment page and back, to the customer portal, and the webhook.

People get pages and redirects, programs get WSO2's JSON.
"""

import structlog
from flask import flash, jsonify, redirect, request, url_for
from sqlalchemy import select
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from portal.billing.engine import EventKind
from portal.crashpoints import crashpoint
from portal.errors import BillingEngineError, Conflict, InvalidSignature, NotFound, PortalError
from portal.extensions import csrf, db, limiter
from portal.flows import managing, payments
from portal.models import Billing, CheckoutAttempt, CheckoutStatus, Status, Subscription, Tenant
from portal.models.tenant import SUPER_TENANT
from portal.services import inbox
from portal.stripe import bp
from portal.web import queue
from portal.web.access import me, public, signed_by_engine, signed_in, wants_html
from portal.web.engines import absolute, engine_of
from portal.web.payment_urls import return_urls
from portal.web.problems import answer
from portal.web.tenancy import own_subscription
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

MEGABYTE = 1024 * 1024


def _says(status: int, message: str) -> Response:
    """Answer a program with WSO2's JSON and a person with a page."""
    if wants_html():
        title = "Not possible now" if status == 409 else "Please check the address"
        return answer(status, "Not found" if status == 404 else title, message)
    response = jsonify({"error": message})
    response.status_code = status
    return response


@bp.get("/checkout-url")
@signed_in
@limiter.limit("60 per minute")
def checkout_url() -> Response:
    """Send the subscriber to the payment page of a pending subscription (Complete Payment)."""
    uuid = request.args.get("subscriptionId", "")
    if not uuid:
        return _says(400, "subscriptionId query parameter is required")
    subscription = own_subscription(me(), uuid)
    if subscription.status is not Status.ON_HOLD and not subscription.can_pay_change:
        return _nothing_to_pay(subscription)
    urls, user_id = return_urls(subscription), me().user_id
    engine = engine_of(subscription.api.tenant)
    try:
        page = payments.open_page(engine, uuid, user_id, urls)
    except Conflict as error:
        return _says(409, error.message)
    home = url_for("devportal.subscription", uuid=uuid)
    return redirect(page or home, 303)


def _nothing_to_pay(subscription: Subscription) -> Response:
    if wants_html():
        flash("There is nothing to pay for this subscription now.", "info")
        return redirect(url_for("devportal.subscription", uuid=subscription.uuid), 303)
    return _says(404, "No pending checkout session found for the given subscription")


@bp.get("/complete-session")
@public
@limiter.limit("60 per minute")
def complete_session() -> Response:
    """Read how a payment ended, when the browser comes back before the webhook or instead of it.

    Changes nothing by what the caller says: the engine is asked, and answering twice is the same.
    """
    session_id = request.args.get("session_id", "")
    if not session_id:
        return _says(400, "session_id query parameter is required")
    attempt = db.session.scalars(
        select(CheckoutAttempt).where(CheckoutAttempt.session_id == session_id)
    ).one_or_none()
    if attempt is None:
        return _says(404, "No checkout session found for the given session_id")
    known = attempt.status == CheckoutStatus.COMPLETED
    tenant = db.session.get_one(Tenant, attempt.tenant_id)
    subscription_uuid = db.session.get_one(Subscription, attempt.am_subscription_id).uuid
    try:
        subscription = payments.settle(engine_of(tenant), session_id)
        billing = subscription.facts.billing
        paid = billing is Billing.PAID or billing.is_arrears
        db.session.rollback()
    except BillingEngineError:
        # The webhook may still come; the page that follows waits for it.
        if not wants_html():
            raise
        paid = False
    if paid:
        queue.enqueue("wake")
    if wants_html():
        # The page waits for the confirmation by itself; without one it just shows the state.
        waiting = None if paid else "1"
        target = url_for("devportal.subscription", uuid=subscription_uuid, waiting=waiting)
        return redirect(target, 303)
    return _completed(known, paid=paid)


def _completed(known: bool, *, paid: bool) -> Response:
    if known:
        return jsonify({"status": "already_completed"})
    if paid:
        return jsonify({"status": "completed"})
    return _says(402, "Payment not yet complete. Please complete checkout before proceeding.")


@bp.get("/portal-url")
@signed_in
@limiter.limit("60 per minute")
def portal_url() -> Response:
    """Send the subscriber to the customer portal of an active subscription."""
    uuid = request.args.get("subscriptionId", "")
    domain = request.args.get("tenantDomain", "")
    for name, value in (("subscriptionId", uuid), ("tenantDomain", domain)):
        if not value:
            return _says(400, f"{name} query parameter is required")
    subscription = own_subscription(me(), uuid)
    if subscription.api.tenant.tenant_domain != domain:
        raise NotFound("Subscription not found")
    back = absolute(url_for("devportal.subscription", uuid=uuid))
    engine = engine_of(subscription.api.tenant)
    return redirect(managing.manage_url(engine, subscription, back), 303)


@bp.post("/webhook")
@signed_by_engine
@csrf.exempt
def webhook() -> tuple[Response, int] | Response:
    """Receive one event.

    The answer tells Stripe whether to send it again: 200 once it is stored with its effect, 400
    when it is not genuine, 5xx when nothing was stored. No call goes out from here.
    """
    raw = _raw_body()
    domain = request.args.get("tenantDomain") or SUPER_TENANT
    tenant = db.session.scalars(select(Tenant).where(Tenant.tenant_domain == domain)).one_or_none()
    if tenant is None:
        return jsonify({"error": "Unknown tenant"}), 404
    secrets = tenant.webhook_secrets
    if not secrets:
        return jsonify({"error": "Webhook secret not configured"}), 503
    tenant_id = tenant.tenant_id
    try:
        header = request.headers.get("Stripe-Signature", "")
        event = engine_of(tenant).verify_event(raw, header, secrets)
    except InvalidSignature:
        log.warning("webhook_not_genuine", tenant=tenant_id, address=request.remote_addr)
        in_unit_of_work(lambda: inbox.refuse(db.session.get_one(Tenant, tenant_id)))
        return jsonify({"error": "Invalid signature"}), 400
    except PortalError as error:
        return jsonify({"error": error.message}), error.status_code
    crashpoint("event verified")
    receipt = in_unit_of_work(
        lambda: inbox.receive(db.session.get_one(Tenant, tenant_id), event, raw)
    )
    if receipt.refresh_due or event.kind is EventKind.CHECKOUT_COMPLETED:
        queue.enqueue("wake")
    if receipt.closed is not None:
        queue.enqueue("flush", receipt.closed)
    return jsonify({"received": True})


def _raw_body() -> bytes:
    """Return the body as it came: re-serialised JSON would not verify."""
    if (request.content_length or 0) > MEGABYTE:
        raise RequestEntityTooLarge
    raw = request.get_data(cache=True, parse_form_data=False)
    if len(raw) > MEGABYTE:
        raise RequestEntityTooLarge
    return raw
