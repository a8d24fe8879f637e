"""The card fields that Checkout, the portal and the invoice page share, and their 3-D Secure step.

A card is remembered between the form and the 3-D Secure page in a signed text in the address: which
test card, its date and the name. Nothing is stored before the payment is decided.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import make_response, render_template
from flask.wrappers import Response
from itsdangerous import BadData, URLSafeTimedSerializer

from portal.sandbox.engine import cards
from portal.sandbox.engine.cards import Behaviour, Card, CardRefused
from portal.sandbox.pages.web import BRANDS
from portal.sandbox.service import current

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
_FIELDS = ("email", "card_number", "exp", "cvc", "name")
_STEP_SECONDS = 3600
_EMAIL_LENGTH = 512
_NAME_LENGTH = 256
_FUTURE_YEARS = 8
_MAIN = (
    "visa",
    "visa_chargeDeclined",
    "visa_chargeDeclinedInsufficientFunds",
    "chargeCustomerFail",
    "authenticationRequiredOnSetup",
    "authenticationRequired",
)


@dataclass(slots=True)
class CardForm:
    """What was typed, and what is wrong with it by field name (`form` for the whole)."""

    email: str = ""
    card_number: str = ""
    exp: str = ""
    cvc: str = ""
    name: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, values: Mapping[str, str]) -> CardForm:
        """Read the fields of a submitted form."""
        typed = {name: values.get(name, "").strip() for name in _FIELDS}
        return cls(typed["email"], typed["card_number"], typed["exp"], typed["cvc"], typed["name"])

    @classmethod
    def prefilled(cls, wanted: str | None, *, now: int) -> CardForm:
        """Return a form that holds the test card called `wanted`; an empty one if there is none."""
        behaviour = cards.by_name(wanted or "")
        if behaviour is None:
            return cls()
        year = (1970 + now // 31_556_952 + _FUTURE_YEARS) % 100
        date = f"12 / {year:02d}"
        return cls(card_number=spaced(behaviour), exp=date, cvc=_code(behaviour))

    @property
    def shown_number(self) -> str:
        """Return the number if it may be shown again: only a test card's."""
        behaviour = cards.BY_NUMBER.get(re.sub(r"[\s-]", "", self.card_number))
        return spaced(behaviour) if behaviour else ""

    @property
    def shown_exp(self) -> str:
        """Return the date if it may be shown again: only a test card's."""
        return self.exp if self.shown_number else ""

    @property
    def shown_cvc(self) -> str:
        """Return the security code if it may be shown again: only a test card's."""
        return self.cvc if self.shown_number and "cvc" not in self.errors else ""

    def check_email(self) -> bool:
        """Tell whether the address can be one; the field's error says what is wrong."""
        if len(self.email) > _EMAIL_LENGTH or not _EMAIL.fullmatch(self.email):
            self.errors["email"] = "Enter an e-mail address, for example dana@example.com."
        return "email" not in self.errors

    def check_name(self) -> bool:
        """Tell whether the name is short enough; the field's error says what is wrong."""
        if len(self.name) > _NAME_LENGTH:
            self.errors["name"] = f"Shorten the name to {_NAME_LENGTH} characters."
        return "name" not in self.errors

    def card(self, *, now: int) -> Card | None:
        """Return the card, or None with the reason in `errors`."""
        self.check_name()
        try:
            found = cards.parse(self.card_number, self.exp, self.cvc, self.name, now=now)
        except CardRefused as refused:
            self.errors[_field_of(str(refused))] = str(refused)
            return None
        return None if self.errors else found

    def refuse(self, text: str, code: str | None) -> None:
        """Note a declined payment beside the field that its code is about."""
        fields = {"incorrect_cvc": "cvc", "expired_card": "exp", "card_declined": "card_number"}
        self.errors[fields.get(code or "", "form")] = text


def _field_of(text: str) -> str:
    if "security code" in text:
        return "cvc"
    return "exp" if "expir" in text else "card_number"


def spaced(behaviour: Behaviour) -> str:
    """Return a test number in groups, as on the card."""
    number = behaviour.number
    if behaviour.brand == "amex":
        return f"{number[:4]} {number[4:10]} {number[10:]}"
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def hints() -> dict[str, list[dict[str, str]]]:
    """Return the test cards for the list beside the form: the `main` ones and the `rest`."""
    result: dict[str, list[dict[str, str]]] = {"main": [], "rest": []}
    for each in cards.listed():
        brand = "" if each.brand == "visa" else f" ({BRANDS.get(each.brand, each.brand.title())})"
        entry = {
            "name": each.name,
            "number": spaced(each),
            "label": each.label + brand,
            "cvc": _code(each),
        }
        result["main" if each.name in _MAIN else "rest"].append(entry)
    return result


def _code(behaviour: Behaviour) -> str:
    return "1234" if behaviour.brand == "amex" else "123"


@dataclass(frozen=True, slots=True)
class Step:
    """What waits for 3-D Secure: a typed card, or the card on file (`card` is None)."""

    card: Card | None
    email: str = ""

    @property
    def holder(self) -> str:
        """Return the name that was typed with the card."""
        return self.card.name if self.card else ""

    @property
    def label(self) -> str:
        """Return the typed card as ``Visa •••• 3184``."""
        if self.card is None:
            return ""
        return f"{BRANDS.get(self.card.brand, self.card.brand.title())} ••••\u00a0{self.card.last4}"


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current().settings.admin_token, salt="3-d-secure")


def pack(subject: str, step: Step) -> str:
    """Return `step` as signed text that is good for `subject` (an id) only."""
    content: dict[str, Any] = {"for": subject, "email": step.email}
    if step.card is not None:
        card = step.card
        content["card"] = [card.behaviour.name, card.exp_month, card.exp_year, card.name]
    return str(_signer().dumps(content))


def unpack(subject: str, text: str) -> Step | None:
    """Return the step, or None when the text is too old, changed or another page's."""
    try:
        content = _signer().loads(text, max_age=_STEP_SECONDS)
    except BadData:
        return None
    if content["for"] != subject:
        return None
    if "card" not in content:
        return Step(None, content["email"])
    name, month, year, holder = content["card"]
    behaviour = cards.by_name(name)
    if behaviour is None:
        return None
    return Step(Card(behaviour, month, year, holder), content["email"])


def ask_bank(seller: dict[str, str], what: tuple[str, str], card: str) -> Response:
    """Return the 3-D Secure page about `what` (label and text), e.g. ``("Amount", "$15.00")``.

    Its form sends `outcome` to the same address.
    """
    return make_response(
        render_template("hosted/authenticate.html", seller=seller, what=what, card=card)
    )


def outcome(values: Mapping[str, str]) -> bool | None:
    """Return what the customer did at the bank's page: True, False, or None for walking away."""
    return {"complete": True, "fail": False}.get(values.get("outcome", ""))
