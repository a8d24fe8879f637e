"""Stripe's test cards and what each does; no other number is accepted or stored.

https://docs.stripe.com/testing
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from portal.sandbox.clock import RealClock

Step = Literal["ok", "authenticate"]


class CardRefused(Exception):
    """The number, date or code can't be used; the message says what to do instead."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a test card does.

    `attach` and `charge` hold a decline (code of `DECLINES`) or None. `on_session` and
    `off_session` say whether the bank asks for 3-D Secure with and without the customer present;
    `once` cards ask only until they have been authenticated the first time.
    """

    name: str
    number: str
    brand: str = "visa"
    attach: str | None = None
    charge: str | None = None
    on_session: Step = "ok"
    off_session: Step = "ok"
    once: bool = False
    label: str = "Payment succeeds"


@dataclass(frozen=True, slots=True)
class Card:
    """A test card as typed by a customer. The number itself is not kept."""

    behaviour: Behaviour
    exp_month: int
    exp_year: int
    name: str = ""
    cvc_given: bool = True

    @property
    def last4(self) -> str:
        """Return the digits that may be shown."""
        return self.behaviour.number[-4:]

    @property
    def brand(self) -> str:
        """Return the network's name in Stripe's spelling."""
        return self.behaviour.brand


# code: (error code, decline code, message)
DECLINES: dict[str, tuple[str, str | None, str]] = {
    "generic_decline": ("card_declined", "generic_decline", "Your card was declined."),
    "insufficient_funds": (
        "card_declined",
        "insufficient_funds",
        "Your card has insufficient funds.",
    ),
    "lost_card": ("card_declined", "lost_card", "Your card was declined."),
    "stolen_card": ("card_declined", "stolen_card", "Your card was declined."),
    "expired_card": ("expired_card", None, "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", None, "Your card's security code is incorrect."),
    "processing_error": (
        "processing_error",
        None,
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "authentication_failed": (
        "payment_intent_authentication_failure",
        None,
        (
            "We are unable to authenticate your payment method. "
            "Please choose a different payment method and try again."
        ),
    ),
}  # fmt: skip

_ALL = (
    Behaviour("visa", "4242424242424242"),
    Behaviour("visa_debit", "4000056655665556"),
    Behaviour("mastercard", "5555555555554444", "mastercard"),
    Behaviour("amex", "378282246310005", "amex"),
    Behaviour("discover", "6011111111111117", "discover"),
    Behaviour(
        "visa_chargeDeclined", "4000000000000002",
        attach="generic_decline", charge="generic_decline", label="Declined",
    ),
    Behaviour(
        "visa_chargeDeclinedInsufficientFunds", "4000000000009995",
        attach="insufficient_funds", charge="insufficient_funds", label="Insufficient funds",
    ),
    Behaviour(
        "visa_chargeDeclinedLostCard", "4000000000009987",
        attach="lost_card", charge="lost_card", label="Lost card",
    ),
    Behaviour(
        "visa_chargeDeclinedStolenCard", "4000000000009979",
        attach="stolen_card", charge="stolen_card", label="Stolen card",
    ),
    Behaviour(
        "chargeDeclinedExpiredCard", "4000000000000069",
        attach="expired_card", charge="expired_card", label="Expired card",
    ),
    Behaviour(
        "chargeDeclinedIncorrectCvc", "4000000000000127",
        attach="incorrect_cvc", charge="incorrect_cvc", label="Incorrect CVC",
    ),
    Behaviour(
        "chargeDeclinedProcessingError", "4000000000000119",
        attach="processing_error", charge="processing_error", label="Processing error",
    ),
    Behaviour(
        "chargeCustomerFail", "4000000000000341",
        charge="generic_decline", label="Can be saved, every charge is declined",
    ),
    Behaviour(
        "authenticationRequiredOnSetup", "4000002500003155",
        on_session="authenticate", off_session="authenticate", once=True,
        label="3-D Secure the first time",
    ),
    Behaviour(
        "authenticationRequired", "4000002760003184",
        on_session="authenticate", off_session="authenticate", label="3-D Secure every time",
    ),
    Behaviour(
        "threeDSecure2Required", "4000000000003220",
        on_session="authenticate", off_session="authenticate", label="3-D Secure 2 required",
    ),
    Behaviour(
        "authenticationRequiredChargeDeclinedInsufficientFunds", "4000008260003178",
        charge="insufficient_funds", on_session="authenticate", off_session="authenticate",
        label="3-D Secure, then insufficient funds",
    ),
    Behaviour(
        "authenticationRequiredSetupForOffSession", "4000003800000446",
        on_session="authenticate", label="3-D Secure with you present, none at renewals",
    ),
)  # fmt: skip

BY_NUMBER = {card.number: card for card in _ALL}
_BY_NAME = {card.name: card for card in _ALL}
# Stripe accepts the declining cards with and without the network's name in front.
_BY_NAME |= {card.name.removeprefix("visa_"): card for card in _ALL if card.name != "visa_debit"}
_BY_NAME |= {f"visa_{card.name}": card for card in _ALL if card.name.startswith("charge")}

_USE_TEST_CARD = "Use a test card such as 4242 4242 4242 4242: real cards are never accepted here."


def listed() -> tuple[Behaviour, ...]:
    """Return the test cards in the order in which a page shows them."""
    return _ALL


def by_name(name: str) -> Behaviour | None:
    """Return the card behind a virtual id: the part after ``pm_card_`` or ``tok_``."""
    return _BY_NAME.get(name)


def parse(number: str, exp: str, cvc: str, name: str, *, now: int | None = None) -> Card:
    """Read a card as typed into a form; `exp` is ``MM/YY`` or ``MM/YYYY``.

    :raise CardRefused: for anything but a test number with a future date and a 3 or 4 digit code
    """
    behaviour = BY_NUMBER.get(re.sub(r"[\s-]", "", number))
    if behaviour is None:
        raise CardRefused(_USE_TEST_CARD)
    match = re.fullmatch(r"\s*(\d{1,2})\s*[/-]\s*(\d{2}|\d{4})\s*", exp)
    if match is None or not 1 <= int(match[1]) <= 12:
        raise CardRefused("Enter the expiry date as MM / YY.")
    month, year = int(match[1]), int(match[2])
    year += 2000 if year < 100 else 0
    check_expiry(month, year, now=RealClock().now() if now is None else now)
    if not re.fullmatch(r"\d{3,4}", cvc.strip()):
        raise CardRefused("Enter the 3 or 4 digit security code (any will do).")
    return Card(behaviour, month, year, name.strip()[:256])


def check_expiry(month: int, year: int, *, now: int) -> None:
    """Refuse a date in the past or further away than fifty years.

    :raise CardRefused: naming the date
    """
    today = datetime.fromtimestamp(now, UTC)
    if (year, month) < (today.year, today.month):
        raise CardRefused("Your card's expiration date is in the past.")
    if year > today.year + 50:
        raise CardRefused("Your card's expiration year is invalid.")


def from_record(method: dict[str, Any]) -> Card:
    """Return the card that a stored payment method holds."""
    behaviour = _BY_NAME[method["_card"]]
    if behaviour.once and method.get("_authenticated"):
        behaviour = replace(behaviour, on_session="ok", off_session="ok")
    return Card(behaviour, method["card"]["exp_month"], method["card"]["exp_year"])


def decline(card: Card, *, present: bool, authenticated: bool | None) -> str | None:
    """Return how a charge ends: None for success, ``authenticate``, or a key of `DECLINES`."""
    behaviour = card.behaviour
    step = behaviour.on_session if present else behaviour.off_session
    if step == "authenticate" and authenticated is None:
        return "authenticate"
    if authenticated is False:
        return "authentication_failed"
    return behaviour.charge
