"""A billing engine of somebody else, to be installed beside the portal: prepaid vouchers.

A voucher is bought before it is used: a payment page is complete as soon as it is opened, and
usage is taken off the voucher. It keeps everything in memory and knows nothing of Stripe.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

from portal.billing.engine import (
    AccountCheck,
    BillingEngine,
    BillingEvent,
    CheckoutSession,
    CheckoutState,
    EngineStatus,
    EventKind,
    Invoice,
    InvoiceLine,
    KeyCheck,
    ListedMeter,
    ListedPrice,
    ListedProduct,
    MeterSpec,
    PriceSpec,
    ProductSpec,
    SubscriptionSnapshot,
    UsageReceipt,
    WebhookRegistration,
)
from portal.errors import EngineAccessDenied, EngineObjectMissing, Invalid, InvalidSignature


class AcmeBillingEngine(BillingEngine):
    """Sells vouchers."""

    name = "acme"

    def __init__(self, settings):
        self._key = settings.secret_key
        self._shelf = {}
        self._made = {}

    def _once(self, key, prefix, thing):
        if key not in self._made:
            self._made[key] = f"{prefix}-{len(self._made) + 1}"
            self._shelf[self._made[key]] = thing
        return self._made[key]

    def _get(self, name):
        if name not in self._shelf:
            raise EngineObjectMissing("Acme knows no such thing.")
        return self._shelf[name]

    def test_key(self):
        if not self._key.startswith("acme-"):
            raise EngineAccessDenied("Acme does not accept this key.")
        return KeyCheck(account="acme", livemode=False)

    def check_account(self, account):
        self.test_key()
        return AccountCheck(
            account=account,
            charges_enabled=True,
            card_payments=True,
            country=None,
            default_currency="eur",
        )

    def register_webhook(self, url, *, key):
        endpoint = self._once(key, "hook", url)
        return WebhookRegistration(endpoint_id=endpoint, secret=self._key, api_version="1")

    def ensure_product(self, account, spec, *, key):
        self._shelf[spec.product_id] = spec
        return spec.product_id

    def ensure_meter(self, account, spec, *, key):
        return self._once(f"meter:{spec.event_name}", "meter", spec)

    def ensure_price(self, account, spec, *, key):
        return self._once(f"price:{spec.lookup_key}", "price", spec)

    def archive_price(self, account, price_id):
        self._shelf.pop(price_id, None)

    def archive_product(self, account, product_id):
        self._shelf.pop(product_id, None)

    def ensure_portal_configuration(self, account, *, return_url, key):
        return self._once("portal", "portal", return_url)

    def ensure_customer(self, account, spec, *, key):
        return self._once(key, "customer", spec)

    def open_checkout(self, account, spec, *, key):
        voucher = self._once(f"{key}:voucher", "voucher", {"spec": spec, "used": 0, "ended": None})
        session = CheckoutSession(
            session_id="",
            state=CheckoutState.COMPLETE,
            is_paid=True,
            url=None,
            expires_at=spec.expires_at,
            reference=spec.reference,
            customer_id=spec.customer_id,
            subscription_id=voucher,
        )
        name = self._once(key, "page", session)
        return CheckoutSession(**{**vars(session), "session_id": name})

    def checkout(self, account, session_id):
        return CheckoutSession(**{**vars(self._get(session_id)), "session_id": session_id})

    def expire_checkout(self, account, session_id):
        return self.checkout(account, session_id)

    def portal_url(self, account, customer_id, *, configuration, return_url):
        return f"https://acme.example/{customer_id}"

    def subscription(self, account, subscription_id):
        voucher = self._get(subscription_id)
        return SubscriptionSnapshot(
            subscription_id=subscription_id,
            status=EngineStatus.CANCELED if voucher["ended"] else EngineStatus.ACTIVE,
            customer_id=voucher["spec"].customer_id,
            item_id=None,
            price_id=voucher["spec"].price_id,
            period_start=None,
            period_end=None,
            cancel_at=None,
            ended_at=voucher["ended"],
            cancel_reason=None,
            latest_invoice_id=None,
            reference=voucher["spec"].reference,
        )

    def cancel_subscription(self, account, subscription_id):
        voucher = self._get(subscription_id)
        voucher["ended"] = voucher["ended"] or datetime.now(UTC)
        return self.subscription(account, subscription_id)

    def report_usage(self, account, report):
        known = report.identifier in self._made
        self._once(report.identifier, "usage", report)
        return UsageReceipt(identifier=report.identifier, duplicate=known, request_id=None)

    def usage_total(self, account, *, meter_id, customer_id, start, end):
        name = self._get(meter_id).event_name
        return sum(
            thing.quantity
            for thing in self._shelf.values()
            if getattr(thing, "event_name", None) == name
            and getattr(thing, "customer_id", None) == customer_id
            and start <= thing.timestamp < end
        )

    def preview(self, account, subscription_id):
        voucher = self._get(subscription_id)
        price = self._get(voucher["spec"].price_id)
        now = datetime.now(UTC)
        used = sum(
            thing.quantity
            for thing in self._shelf.values()
            if getattr(thing, "customer_id", None) == voucher["spec"].customer_id
            and hasattr(thing, "quantity")
        )
        total = round(used * price.unit_minor)
        line = InvoiceLine(
            description=price.nickname,
            quantity=used,
            unit_minor=price.unit_minor,
            amount_minor=total,
            period_start=now,
            period_end=now + timedelta(days=30),
        )
        return Invoice(
            invoice_id=None,
            number=None,
            due_date=None,
            next_payment_attempt=None,
            description=None,
            account_name=None,
            account_country=None,
            customer_email=None,
            hosted_url=None,
            pdf_url=None,
            billing_reason=None,
            status="draft",
            is_preview=True,
            currency=price.currency,
            subtotal=total,
            tax=0,
            total=total,
            amount_due=total,
            amount_paid=0,
            amount_remaining=total,
            period_start=now,
            period_end=line.period_end,
            created=now,
            subscription_id=subscription_id,
            lines=[line],
        )

    def invoices(self, account, subscription_id):
        self._get(subscription_id)
        return []

    def living_subscriptions(self, account):
        for name, thing in list(self._shelf.items()):
            if isinstance(thing, dict) and not thing["ended"]:
                yield self.subscription(account, name)

    def open_checkouts(self, account):
        return iter(())

    def products(self, account):
        for thing in list(self._shelf.values()):
            if isinstance(thing, ProductSpec):
                yield ListedProduct(
                    product_id=thing.product_id, active=True, metadata=thing.metadata
                )

    def prices(self, account):
        for name, thing in list(self._shelf.items()):
            if isinstance(thing, PriceSpec):
                yield ListedPrice(
                    price_id=name,
                    product_id=thing.product_id,
                    active=True,
                    lookup_key=thing.lookup_key,
                    currency=thing.currency,
                    unit_minor=thing.unit_minor,
                    interval=thing.interval,
                    meter_id=thing.meter_id,
                    metadata=thing.metadata,
                )

    def meters(self, account):
        for name, thing in list(self._shelf.items()):
            if isinstance(thing, MeterSpec):
                yield ListedMeter(meter_id=name, event_name=thing.event_name, active=True)

    def undelivered_events(self, account):
        return iter(())

    def verify_event(self, payload, header, secrets):
        signatures = [
            hmac.new(each.encode(), payload, hashlib.sha256).hexdigest() for each in secrets
        ]
        if header not in signatures:
            raise InvalidSignature("Acme did not sign this.")
        return self.translate_event(json.loads(payload))

    def translate_event(self, payload):
        try:
            return BillingEvent(
                event_id=payload["id"],
                type="voucher.returned",
                kind=EventKind.SUBSCRIPTION_DELETED,
                account=payload["account"],
                livemode=False,
                created=payload["created"],
                subscription=self.subscription(payload["account"], payload["voucher"]),
            )
        except (KeyError, TypeError) as error:
            raise Invalid("This is no event.") from error
