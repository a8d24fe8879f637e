"""What notices say. Each says what happened, until when what holds, and what to press."""

from dataclasses import dataclass
from datetime import datetime

from portal.models.notice import NoticeKind


@dataclass(frozen=True, kw_only=True)
class About:
    """What a notice is about, as far as its words need it."""

    api: str
    application: str
    plan: str
    until: datetime | None = None
    days: int = 0
    used: int = 0
    amount: int = 0
    unit: str = "calls"
    stops: bool = True
    was_blocked: bool = True
    asks_bank: bool = False
    then: str = ""
    """The free plan with which it goes on."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """The title of a notice, and its text."""

    subject: str
    body: str


def of(kind: NoticeKind, about: About) -> Words:
    """Return what a notice of this kind says."""
    subject, text = _WORDS[kind](about)
    place = f"{about.api}, application {about.application}, plan {about.plan}."
    return Words(subject=subject[:255], body=f"{text}\n\n{place}")


def at(moment: datetime | None) -> str:
    """Write a moment to the minute, in UTC and saying so."""
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "now"


_PAY = "Open the subscription and press Pay now, or change the card in the Customer Portal."
_CONFIRM = "The bank asks for it: open the subscription and press Authenticate payment."


def _remedy(about: About) -> str:
    return _CONFIRM if about.asks_bank else _PAY


def _failed(about: About) -> tuple[str, str]:
    what = "The bank wants a payment confirmed" if about.asks_bank else "A payment failed"
    if about.until is None:
        return f"{about.api}: {what.lower()}, calls are refused", (
            f"{what}. Calls are refused from now on, and go through again as soon as it is paid. "
            f"{_remedy(about)}"
        )
    return f"{about.api}: {what.lower()}, access until {at(about.until)}", (
        f"{what}. Calls go through until {at(about.until)}; without a payment they are refused "
        f"after that. {_remedy(about)}"
    )


def _grace(about: About) -> tuple[str, str]:
    left = "1 day" if about.days == 1 else f"{about.days} days"
    return f"{about.api}: {left} left to pay", (
        f"An invoice is still unpaid. Calls go through until {at(about.until)} and are refused "
        f"after that. {_remedy(about)}"
    )


def _stopped(about: About) -> tuple[str, str]:
    return f"{about.api}: calls are refused, an invoice is unpaid", (
        "The time to pay is over, so calls are refused. They go through again as soon as the "
        f"invoice is paid. {_remedy(about)}"
    )


def _back(about: About) -> tuple[str, str]:
    if about.was_blocked:
        return f"{about.api}: paid, access is back", "The invoice is paid. Calls go through again."
    return f"{about.api}: paid, access goes on", "The invoice is paid. Calls go on as before."


def _quota(about: About, part: str) -> tuple[str, str]:
    at_limit = (
        f"Calls beyond it are refused until {at(about.until)}. A larger plan has more."
        if about.stops
        else "Calls go on beyond it and are billed."
    )
    return f"{about.api}: {part} of the quota is used", (
        f"{about.used:,} of {about.amount:,} {about.unit} are used. {at_limit}"
    )


def _trial(about: About) -> tuple[str, str]:
    return f"{about.api}: the free trial ends on {at(about.until)}", (
        f"The free trial ends on {at(about.until)}. The plan is paid for from then on. "
        "If you do not want that, press Unsubscribe before then."
    )


def _cancelled(about: About) -> tuple[str, str]:
    if about.then:
        return f"{about.api}: paid until {at(about.until)}, then {about.then}", (
            f"The paid plan ends on {at(about.until)}. Calls go on under {about.then} then. "
            "Until then the change can be taken back on the subscription's page."
        )
    return f"{about.api}: cancelled, works until {at(about.until)}", (
        f"The cancellation is confirmed. Calls go through until {at(about.until)}. "
        "Until then it can be withdrawn on the subscription's page."
    )


def _ended(about: About) -> tuple[str, str]:
    return f"{about.api}: the subscription has ended", (
        "The subscription has ended and its calls are refused. "
        "What was used until now is on the last invoice."
    )


_WORDS = {
    NoticeKind.QUOTA_80: lambda about: _quota(about, "80 %"),
    NoticeKind.QUOTA_100: lambda about: _quota(about, "all"),
    NoticeKind.PAYMENT_FAILED: _failed,
    NoticeKind.GRACE_ENDING: _grace,
    NoticeKind.ACCESS_STOPPED: _stopped,
    NoticeKind.ACCESS_BACK: _back,
    NoticeKind.TRIAL_ENDING: _trial,
    NoticeKind.CANCELLED: _cancelled,
    NoticeKind.ENDED: _ended,
}
