"""Trying a tenant's key, and registering its webhook, at the billing engine."""

import hashlib

from portal.billing.engine import BillingEngine, KeyCheck
from portal.extensions import db
from portal.models.tenant import Tenant
from portal.services import setup
from portal.web.unit_of_work import in_unit_of_work


def try_key(engine: BillingEngine, tenant_id: int) -> KeyCheck:
    """Ask the engine whose the stored key is, and keep the answer for the checklist.

    :raise portal.errors.EngineAccessDenied: if the key is wrong
    """
    db.session.rollback()
    check = engine.test_key()
    in_unit_of_work(lambda: setup.keep_key_check(db.session.get_one(Tenant, tenant_id), check))
    return check


def register_webhook(engine: BillingEngine, tenant_id: int, url: str) -> str:
    """Register ``url`` for the seven events and store the secret; return the webhook's id.

    The secret is told once only. If its answer is lost, pressing again repeats the same call
    under the same name, and the provider repeats the same answer. After an answer, pressing
    again makes another webhook.
    """

    def intend() -> str:
        return setup.webhook_attempt(db.session.get_one(Tenant, tenant_id))

    attempt = in_unit_of_work(intend)
    address = hashlib.sha256(url.encode()).hexdigest()[:12]
    made = engine.register_webhook(url, key=f"webhook:{attempt}:{address}")
    in_unit_of_work(lambda: setup.keep_webhook(db.session.get_one(Tenant, tenant_id), made))
    return made.endpoint_id
