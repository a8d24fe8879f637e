"""Every point at which the sandbox had to guess, with its guess.

The guesses are the sandbox's answers to the probes; a test holds the one against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from portal.cli.live_check import probes
from portal.cli.live_check.wire import Wire


@dataclass(frozen=True, slots=True)
class Point:
    """An open question. Without a `probe` a person has to look, and `command` says where."""

    name: str
    question: str
    sandbox: str
    probe: Callable[[Wire], str] | None = None
    by_hand: str = ""

    @property
    def command(self) -> str:
        """Return what settles it."""
        return self.by_hand or f"flask sandbox check --live --only {self.name}"


POINTS = (
    Point(
        "metered-first-invoice",
        "Does a subscription that is paid by usage only begin with an invoice over 0?",
        "none",
        probes.metered_first_invoice,
    ),
    Point(
        "metered-checkout",
        "Is payment_status of a Checkout for usage only paid or no_payment_required, and is its"
        " invoice null?",
        "no_payment_required, invoice null",
        by_hand="Open the url of POST /v1/checkout/sessions for a metered price, pay with 4242 4242"
        " 4242 4242, then: stripe get /v1/checkout/sessions/cs_…",
    ),
    Point(
        "metered-cancel",
        "Is open usage invoiced when a flexible subscription is cancelled without invoice_now?",
        "not invoiced",
        probes.metered_cancel,
    ),
    Point(
        "duplicate-identifier",
        "What is a meter event answered whose identifier was used before?",
        "400 duplicate_meter_event (identifier)",
        probes.duplicate_identifier,
    ),
    Point(
        "unknown-event-name",
        "What is a meter event answered for a meter that does not exist?",
        "400 resource_missing (event_name)",
        probes.unknown_event_name,
    ),
    Point(
        "future-timestamp",
        "What is a meter event of tomorrow answered?",
        "400 timestamp_in_future (timestamp)",
        probes.future_timestamp,
    ),
    Point(
        "old-timestamp",
        "What is a meter event of 36 days ago answered?",
        "400 timestamp_too_far_in_past (timestamp)",
        probes.old_timestamp,
    ),
    Point(
        "expires-too-soon",
        "What is a Checkout session of ten minutes answered?",
        "400 no code (expires_at)",
        probes.expires_too_soon,
    ),
    Point(
        "inactive-price",
        "What is a Checkout session for an archived price answered?",
        "400 price_inactive (line_items[0][price])",
        probes.inactive_price,
    ),
    Point(
        "archive-default-price",
        "May the default price of a product be archived?",
        "default_price: 400 sandbox_unsupported (default_price)",
        probes.archive_default_price,
    ),
    Point(
        "preview-of-canceled",
        "What is a preview for a cancelled subscription answered?",
        "404 invoice_upcoming_none (no param)",
        probes.preview_of_canceled,
    ),
    Point(
        "authentication-events",
        "Which events tell that a renewal needs 3-D Secure, in which order?",
        "payment_action_required, payment_failed",
        probes.authentication_events,
    ),
    Point(
        "portal-card-update",
        "Does a new card in the Customer Portal pay the open invoices of a past_due subscription?",
        "yes, at once",
        by_hand="Let a renewal fail (pm_card_chargeCustomerFail), add 4242 4242 4242 4242 in the"
        " portal, then: stripe get /v1/invoices -d customer=cus_… -d status=open",
    ),
    Point(
        "half-a-unit",
        "How are 1, 3 and 5 times half a cent rounded: up or to even?",
        "1, 2, 3",
        probes.half_a_unit,
    ),
    Point(
        "meter-rate",
        "How many meter events a second may a platform send for one connected account?",
        "25 requests of any kind when limits are on; no limit otherwise",
        by_hand="seq 60 | xargs -P 60 -I{} stripe post /v1/billing/meter_events --stripe-account"
        " acct_… -d event_name=… -d payload[stripe_customer_id]=cus_… -d payload[value]=1",
    ),
    Point(
        "adjustment-window",
        "Until when can a meter event be taken back?",
        "24 hours after it was received",
        by_hand="25 hours after a meter event: stripe post /v1/billing/meter_event_adjustments -d"
        " event_name=… -d type=cancel -d cancel[identifier]=…",
    ),
    Point(
        "usage-on-a-clock",
        "May a customer on a test clock use something at the clock's time, 40 days ahead?",
        "accepted",
        probes.usage_on_a_clock,
    ),
    Point(
        "isk",
        "Is 100050 in ISK, which has no cents in daily life, refused as a price?",
        "400 no code (unit_amount)",
        partial(probes.special_currency, currency="isk"),
    ),
    Point(
        "ugx",
        "Is 100050 in UGX, which has no cents in daily life, refused as a price?",
        "400 no code (unit_amount)",
        partial(probes.special_currency, currency="ugx"),
    ),
    Point(
        "two-currencies",
        "May a customer with a subscription in USD have another one in EUR?",
        "400 no code (no param)",
        probes.two_currencies,
    ),
    Point(
        "same-price-twice",
        "May a subscription hold the same price twice?",
        "400 no code (items)",
        probes.same_price_twice,
    ),
    Point(
        "attach-again",
        "What is attaching a card to its own customer again answered?",
        "accepted",
        probes.attach_again,
    ),
    Point(
        "listing-of-nobody",
        "What is a listing of invoices for a customer that does not exist answered?",
        "400 resource_missing (customer)",
        probes.listing_of_nobody,
    ),
    Point(
        "preview-for-another",
        "What is a preview answered that names another customer than the subscription's?",
        "400 resource_missing (subscription)",
        probes.preview_for_another,
    ),
    Point(
        "unheard-of-type",
        "What is a listing of events of a type that does not exist answered?",
        "400 no code (type)",
        probes.unheard_of_type,
    ),
)
