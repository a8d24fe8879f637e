"""Free time before the first period, of subscriptions and of Checkout Sessions."""

from __future__ import annotations

from portal.sandbox.call import Json
from portal.sandbox.errors import invalid, unsupported

_DAY = 86400
_LONGEST_DAYS = 730


def end(params: Json, *, now: int, least: int = 1, prefix: str = "") -> int | None:
    """Return when the trial that `params` ask for ends, or None when they ask for none.

    `least` is how many seconds ahead a `trial_end` must be; `prefix` names the parameters' parent.

    :raise StripeError: 400 for a trial that can't be, or an end that isn't modelled
    """
    _check_ending(params.get("trial_settings") or {}, prefix)
    days, moment = params.get("trial_period_days"), params.get("trial_end")
    if days is not None and moment is not None:
        raise invalid(
            "You may only specify one of these parameters: trial_end, trial_period_days.",
            _named("trial_end", prefix),
        )
    if moment == "now" or (days is None and moment is None):
        return None
    name = _named("trial_period_days" if moment is None else "trial_end", prefix)
    if days is not None and not 1 <= days <= _LONGEST_DAYS:
        raise invalid(f"A trial lasts between 1 and {_LONGEST_DAYS} days.", name)
    result = now + days * _DAY if days is not None else int(str(moment))
    if moment is not None and result < now + least:
        raise invalid(
            "Invalid timestamp: must be an integer Unix timestamp in the future."
            if least == 1
            else "The `trial_end` date has to be at least 2 days in the future.",
            name,
        )
    if result > now + _LONGEST_DAYS * _DAY:
        raise invalid(f"A trial lasts at most {_LONGEST_DAYS} days.", name)
    return result


def _named(name: str, prefix: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def _check_ending(settings: Json, prefix: str) -> None:
    wanted = (settings.get("end_behavior") or {}).get("missing_payment_method", "create_invoice")
    if wanted != "create_invoice":
        raise unsupported(
            f"missing_payment_method={wanted}",
            _named("trial_settings", prefix) + "[end_behavior][missing_payment_method]",
        )
