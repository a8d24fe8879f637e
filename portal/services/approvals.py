"""Approvals: who lets a new subscription in, where the tenant asks for it.

Whether it is asked is decided when somebody subscribes, by the tenant's setting at that time.
Payment and approval come in any order; calls go through when both are there.
"""

from sqlalchemy import select

from portal.errors import Conflict, Invalid
from portal.extensions import db
from portal.models import Approval, Billing, Subscription, User, Workflow, WorkflowStatus
from portal.services import checkouts, refunds, subscribing, subscriptions
from portal.services.subscriptions import Cause, Move

LONGEST_REASON = 500


def approve(subscription: Subscription, approver: User) -> None:
    """Let a subscription in. Where it is not paid yet, there is a day to pay from now on.

    :raise portal.errors.Conflict: if it has been decided already, or has ended
    """
    _refuse_decided(subscription)
    name = approver.qualified_name
    subscriptions.make(subscription, Move.APPROVE, Cause(because="Approved.", actor=name))
    _settle(subscription, WorkflowStatus.APPROVED, f"Approved by {name}")
    waits = subscription.facts.billing is Billing.PENDING
    if waits and checkouts.open_attempt(subscription) is None:
        subscribing.wait_for_payment(subscription)


def reject(subscription: Subscription, approver: User, reason: str) -> None:
    """Refuse a subscription for a reason; what was paid for it goes back.

    Closing the payment page and paying back is for the flow, or the worker, to finish.

    :raise portal.errors.Invalid: if no reason is given, or a very long one
    :raise portal.errors.Conflict: if it has been decided already, or has ended
    """
    text = " ".join(reason.split())
    if not text:
        raise Invalid("Say why: the subscriber reads it.", {"reason": "Enter a reason."})
    if len(text) > LONGEST_REASON:
        long = f"Use at most {LONGEST_REASON} characters."
        raise Invalid(long, {"reason": long})
    _refuse_decided(subscription)
    because = f"Not approved: {text}"
    name = approver.qualified_name
    subscriptions.make(subscription, Move.REJECT, Cause(because=because, actor=name))
    _settle(subscription, WorkflowStatus.REJECTED, because)
    refunds.owe_all(subscription, because)


def _refuse_decided(subscription: Subscription) -> None:
    facts = subscription.facts
    if facts.billing is Billing.ENDED or facts.end_requested:
        raise Conflict("The subscription has ended meanwhile. There is nothing to decide.")
    if facts.approval is not Approval.PENDING:
        done = {"APPROVED": "approved", "REJECTED": "rejected"}.get(facts.approval, "let in")
        raise Conflict(f"The subscription has already been {done}. There is nothing to decide.")


def _settle(subscription: Subscription, status: WorkflowStatus, words: str) -> None:
    workflow = db.session.scalars(
        select(Workflow)
        .where(
            Workflow.wf_reference == str(subscription.subscription_id),
            Workflow.wf_type == subscribing.APPROVAL,
        )
        .order_by(Workflow.wf_id.desc())
        .limit(1)
    ).one_or_none()
    if workflow is not None:
        workflow.wf_status, workflow.wf_status_desc = status, words[:1000]
