"""How Customer Portal configurations and sessions look."""

from __future__ import annotations

from portal.sandbox.serializers.base import Json, shaped
from portal.sandbox.store import Db, Record

CONFIGURATION: Json = {
    "active": True,
    "application": None,
    "business_profile": {},
    "created": 0,
    "default_return_url": None,
    "features": {},
    "is_default": False,
    "livemode": False,
    "login_page": {"enabled": False, "url": None},
    "metadata": {},
    "name": None,
    "updated": 0,
}

SESSION: Json = {
    "configuration": "",
    "created": 0,
    "customer": "",
    "customer_account": None,
    "flow": None,
    "livemode": False,
    "locale": None,
    "on_behalf_of": None,
    "return_url": None,
}


def render_configuration(_db: Db, record: Record) -> Json:
    """Return the configuration as the API shows it."""
    return shaped(CONFIGURATION, record)


def render_session(db: Db, record: Record) -> Json:
    """Return the session as the API shows it."""
    result = shaped(SESSION, record)
    result["url"] = f"{db.base_url}/p/session/{record['_lookup']}"
    return result
