"""What an administrator may enter about grace, reminders and the platform's fee."""

from decimal import Decimal

from portal.errors import Invalid
from portal.money import parse

#: Stripe gives up on an invoice after at most two months.
LONGEST_GRACE = 60
MOST_REMINDERS = 5


def grace_days(text: str) -> int:
    """Read for how many days calls go on after a failed payment.

    :raise portal.errors.Invalid: unless it is a whole number from 0 to 60
    """
    return _days(text.strip() or "0", 0)


def reminder_days(text: str) -> str:
    """Read how many days before the end of a grace subscribers are reminded; the earliest first.

    :raise portal.errors.Invalid: unless each is a whole number from 1 to 60, at most five of them
    """
    parts = [part for part in text.replace(",", " ").split() if part]
    if len(parts) > MOST_REMINDERS:
        raise Invalid(f"Name at most {MOST_REMINDERS} days.")
    return ",".join(str(days) for days in sorted({_days(part, 1) for part in parts}, reverse=True))


def fee_percent(text: str) -> Decimal:
    """Read which part of each payment the platform takes.

    :raise portal.errors.Invalid: unless it is from 0 to 99.99 with at most two decimals, as
        Stripe wants it (application_fee_percent)
    """
    try:
        value = parse(text or "0")
    except ValueError:
        raise Invalid("Enter a number of per cent such as 2.5.") from None
    if not 0 <= value < 100 or value != round(value, 2):
        raise Invalid("Enter from 0 to 99.99 per cent, with at most two decimals.")
    return value


def _days(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= LONGEST_GRACE:
        raise Invalid(f"Enter whole days from {least} to {LONGEST_GRACE}.")
    return int(text)
