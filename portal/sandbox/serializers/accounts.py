"""How an account looks to its platform."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

_LACKING = ["business_profile.url", "business_type", "external_account", "tos_acceptance.date"]

SHAPE: Json = {
    "business_profile": None,
    "business_type": None,
    "capabilities": {},
    "charges_enabled": True,
    "controller": {"type": "account"},
    "country": "US",
    "created": 0,
    "default_currency": "usd",
    "details_submitted": True,
    "email": None,
    "metadata": {},
    "payouts_enabled": True,
    "requirements": None,
    "settings": None,
    "type": "standard",
}


def render(_db: Db, record: Record) -> Json:
    """Return the account as the API shows it."""
    result = shaped(SHAPE, record)
    result["settings"] = _settings(record.get("name"))
    result["requirements"] = _requirements([] if result["details_submitted"] else _LACKING)
    return result


def _requirements(lacking: list[str]) -> Json:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": list(lacking),
        "disabled_reason": "requirements.past_due" if lacking else None,
        "errors": [],
        "eventually_due": list(lacking),
        "past_due": list(lacking),
        "pending_verification": [],
    }


def _settings(name: str | None) -> Json:
    return {
        "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
        "card_payments": {
            "statement_descriptor_prefix": None,
            "statement_descriptor_prefix_kana": None,
            "statement_descriptor_prefix_kanji": None,
        },
        "dashboard": {"display_name": name, "timezone": "Etc/UTC"},
        "payments": {
            "statement_descriptor": None,
            "statement_descriptor_kana": None,
            "statement_descriptor_kanji": None,
        },
    }
