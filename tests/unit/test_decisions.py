"""The one decision: may this call go through, and if not, why."""

import pytest

from portal.models import Approval, Billing, Block, Facts, KeyType
from portal.services.decisions import Refusal, Standing, decide


def standing(api="PUBLISHED", authenticate=False, **facts):
    facts = {"billing": Billing.PAID, **facts}
    return Standing(facts=Facts(**facts), api_status=api, needs_authentication=authenticate)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (standing(), None),
        (standing(billing=Billing.NOT_REQUIRED), None),
        (standing(api="DEPRECATED"), None),
        (standing(api="RETIRED"), Refusal.API_RETIRED),
        (standing(api="CREATED"), Refusal.API_RETIRED),
        (standing(billing=Billing.PENDING), Refusal.PAYMENT_PENDING),
        (standing(billing=Billing.LAPSED), Refusal.CHECKOUT_LAPSED),
        (standing(billing=Billing.OVERDUE), Refusal.PAYMENT_OVERDUE),
        (standing(billing=Billing.OVERDUE, authenticate=True), Refusal.AUTHENTICATION_NEEDED),
        (standing(billing=Billing.ENDED), Refusal.ENDED),
        (standing(block=Block.ALL), Refusal.BLOCKED_BY_PUBLISHER),
        (standing(block=Block.ALL, billing=Billing.OVERDUE), Refusal.BLOCKED_BY_PUBLISHER),
        (standing(block=Block.PRODUCTION), Refusal.PRODUCTION_BLOCKED),
        (standing(approval=Approval.PENDING), Refusal.APPROVAL_PENDING),
        (standing(approval=Approval.REJECTED), Refusal.APPROVAL_REJECTED),
        (standing(plan_change_pending=True), None),
        (standing(end_requested=True), Refusal.ENDING),
        (None, Refusal.NO_SUBSCRIPTION),
    ],
)
def test_a_production_call_is_refused_for_the_cause_that_a_person_can_mend(given, expected):
    assert decide(given) is expected


def test_a_production_block_lets_sandbox_keys_through():
    assert decide(standing(block=Block.PRODUCTION), KeyType.SANDBOX) is None


def test_every_cause_has_an_address_and_a_remedy_of_its_own():
    slugs = [refusal.slug for refusal in Refusal]
    assert len(set(slugs)) == len(slugs)
    assert all(Refusal.by_slug(refusal.slug) is refusal for refusal in Refusal)
    assert all(refusal.remedy.endswith(".") for refusal in Refusal)
