"""Joining a platform: the one-time link, and what an account may do before and after.

https://docs.stripe.com/connect/hosted-onboarding
"""

from __future__ import annotations

import json
from typing import Any

from portal.sandbox import accounts, events, ids
from portal.sandbox.errors import StripeError
from portal.sandbox.store import Db, Record

#: Seconds for which an unused link works.
GOOD_FOR = 86400


class LinkRefused(Exception):
    """The link was used, replaced or is too old; the message says what to do."""


def link(db: Db, account: Record, *, now: int) -> str:
    """Give `account` a new link and return its secret part; an earlier link stops working."""
    token = ids.random_text(40)
    account["_onboarding"] = {"token": token, "until": now + GOOD_FOR}
    accounts.save(db, account)
    return token


def open_link(db: Db, token: str, *, now: int) -> Record:
    """Return the account whose onboarding `token` leads to; nothing is changed.

    :raise LinkRefused: when it was used or replaced, or is older than a day
    """
    row = db.execute(
        "SELECT body FROM accounts WHERE json_extract(body, '$._onboarding.token') = ?", token
    ).fetchone()
    account: Record | None = json.loads(row[0]) if row else None
    if account is None or account["_onboarding"]["until"] <= now:
        raise LinkRefused(
            "It works once, and for a day. Ask the platform for another one: Accounts, the account,"
            " New onboarding link in the control room."
        )
    return account


def finish(db: Db, account: Record, *, complete: bool, now: int, **fields: Any) -> Record:
    """Use the link up: the account can charge if the form was `complete`, else not yet.

    Its platform hears of it as ``account.updated``.
    """
    account.pop("_onboarding", None)
    account.update({name: value for name, value in fields.items() if value})
    if complete:
        switch(account, charges=True)
        account["details_submitted"] = True
    accounts.save(db, account)
    events.emit(db, account, "account.updated", now=now)
    return account


def switch(account: Record, *, charges: bool) -> None:
    """Let an account charge and be paid out, or not."""
    account["charges_enabled"] = account["payouts_enabled"] = charges
    account["capabilities"]["card_payments"] = "active" if charges else "inactive"


def can_charge(account: Record | None) -> bool:
    """Tell whether an account may take money from cards."""
    if account is None or not account["charges_enabled"]:
        return False
    return bool(account["capabilities"].get("card_payments") == "active")


def check_can_charge(db: Db, account: str) -> None:
    """Refuse to begin a payment for an account that can't take it.

    :raise StripeError: 400
    """
    if not can_charge(accounts.find(db, account)):
        raise StripeError(400, CANNOT_CHARGE)


CANNOT_CHARGE = (
    "Your account cannot currently make live charges. If you are a customer trying to make a"
    " purchase, please contact the owner of this site. Your transaction has not been processed."
)
