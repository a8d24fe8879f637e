"""Subscribing an application to an API under a plan."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal.errors import Conflict, Invalid, NotAllowed
from portal.extensions import db
from portal.models import (
    Api,
    Application,
    Approval,
    Billing,
    Need,
    Offer,
    Policy,
    PolicyVersion,
    Subscription,
    User,
    Workflow,
)
from portal.services import subscriptions
from portal.services.subscriptions import Cause

CREATION = "AM_SUBSCRIPTION_CREATION"
#: The workflow of a change from a free plan, which waits for its payment.
UPDATE = "AM_SUBSCRIPTION_UPDATE"
#: The workflow of an approval, beside that of the payment.
APPROVAL = "AM_SUBSCRIPTION_APPROVAL"


def subscribe(user: User, application: Application, api: Api, policy: Policy) -> Subscription:
    """Subscribe an application; free plans work at once, commercial ones wait for payment.

    Where the tenant wants it, an administrator decides about each as well, or instead: then
    nothing is charged through the engine. The subscription keeps the version of the plan that is
    for sale now, whatever becomes of the plan later. A commercial plan that is paid is sold
    through the account that its price stands in.

    :raise portal.errors.Conflict: if the API takes no subscriptions, the plan is not for sale,
        or the application already has a living subscription to this API
    :raise portal.errors.NotAllowed: if the plan is not for this person's roles
    """
    _check(user, application, api, policy)
    need = Need(api.tenant.subscriptions_need)
    offer = offer_of(api, policy) if policy.is_commercial and need.asks_payment else None
    version: PolicyVersion = offer.price.policy_version if offer else policy.current
    subscription = Subscription(
        tenant_id=api.tenant_id,
        api=api,
        application=application,
        policy_version=version,
        billing=Billing.PENDING if offer else Billing.NOT_REQUIRED,
        approval=Approval.PENDING if need.asks_approval else Approval.NOT_REQUIRED,
        connected_account=offer.price.connected_account if offer else None,
        live_key=subscriptions.live_key(application.application_id, api.api_id),
    )
    words = _waits_for(policy, is_paid=offer is not None, is_approved=need.asks_approval)
    cause = Cause(
        because=f"Subscribed to {policy.display_name}: {words}.", actor=user.qualified_name
    )
    _insert_once(subscription, cause)
    if offer:
        wait_for_payment(subscription)
    if need.asks_approval:
        _open_workflow(subscription, APPROVAL, "Waits for approval")
    return subscription


def _waits_for(policy: Policy, *, is_paid: bool, is_approved: bool) -> str:
    if is_paid:
        return "waits for payment and approval" if is_approved else "waits for payment"
    if is_approved:
        return "waits for approval"
    return "active at once" if policy.is_commercial else "free plan, active at once"


def _check(user: User, application: Application, api: Api, policy: Policy) -> None:
    if application.tenant_id != api.tenant_id or policy.tenant_id != api.tenant_id:
        raise NotAllowed("The application and the API belong to different tenants.")
    if application.deleted_at is not None:
        raise Conflict("The application has been deleted. Choose another one.")
    if not api.takes_subscriptions:
        raise Conflict(
            f"Subscriptions not allowed on APIs in the state: {api.status}. "
            "Look for a published version."
        )
    if policy.policy_id not in {attached.policy_id for attached in api.policies}:
        raise Invalid("This plan is not offered for this API. Choose one of the plans shown.")
    if not policy.admits(user.roles):
        raise NotAllowed("This plan is not open to your role. Choose another plan.")


def offer_of(api: Api, policy: Policy) -> Offer:
    """Return what the API sells this plan at.

    :raise portal.errors.Conflict: if it is not for sale: giving a commercial plan away because
        monetization is off would be the worse surprise
    """
    offer = db.session.scalars(
        select(Offer).where(Offer.api_id == api.api_id, Offer.tier_name == policy.name)
    ).one_or_none()
    if offer is None or not api.is_monetization_enabled:
        raise Conflict(
            f"The plan {policy.name} is not for sale yet: its publisher has not switched "
            "monetization on. Choose another plan, or ask the publisher."
        )
    return offer


def _insert_once(subscription: Subscription, cause: Cause) -> None:
    try:
        with db.session.begin_nested():
            subscriptions.begin(subscription, cause)
    except IntegrityError as error:
        raise Conflict(
            "The application is already subscribed to this API. Open Applications > "
            "Subscriptions to see it.",
            code=900409,
        ) from error


def wait_for_payment(subscription: Subscription, kind: str = CREATION) -> Workflow:
    """Store the workflow that a payment will approve."""
    return _open_workflow(subscription, kind, "Waits for payment")


def _open_workflow(subscription: Subscription, kind: str, words: str) -> Workflow:
    workflow = Workflow(
        wf_reference=str(subscription.subscription_id),
        wf_type=kind,
        wf_status_desc=words,
        tenant_id=subscription.tenant_id,
        tenant_domain=subscription.api.tenant.tenant_domain,
    )
    db.session.add(workflow)
    db.session.flush()
    return workflow


def workflow_of(subscription: Subscription, kind: str = CREATION) -> Workflow:
    """Return the newest workflow of a subscription's payment, making one if there is none.

    :param kind: ``CREATION``, or ``UPDATE`` for the payment of a change from a free plan
    """
    found = db.session.scalars(
        select(Workflow)
        .where(
            Workflow.wf_reference == str(subscription.subscription_id),
            Workflow.wf_type == kind,
        )
        .order_by(Workflow.wf_id.desc())
        .limit(1)
    ).one_or_none()
    return found or wait_for_payment(subscription, kind)
