"""What a tenant's configuration may hold, where real money could move."""

from dataclasses import replace

import pytest

from portal.errors import Invalid
from portal.models.tenant import Tenant
from portal.services import setup
from portal.services.attributes import Attribute
from portal.services.setup import Configuration, Defaults

REAL = Defaults(success_url="", cancel_url="", api_base="https://api.stripe.com")
STAND_IN = replace(REAL, api_base="http://127.0.0.1:8001")
LIVE = "sk_live_51Abcdefghij"
ACCOUNT = Attribute(name="ConnectedAccountKey", display_name="Account", required=True)


@pytest.fixture
def tenant(app):
    return Tenant(tenant_domain="carbon.super", monetization_attributes=[])


def wanted(**changes):
    return Configuration(attributes=(ACCOUNT,), **changes)


def refused(tenant, configuration, defaults):
    with pytest.raises(Invalid) as error:
        setup.configure(tenant, configuration, defaults)
    return error.value.fields


def test_a_live_key_is_taken_for_stripe_itself_only(tenant):
    assert "live key" in refused(tenant, wanted(platform_key=LIVE), STAND_IN)["platform_key"]
    setup.configure(tenant, wanted(platform_key=LIVE), REAL)
    assert tenant.platform_key == LIVE
    assert tenant.is_live


def test_a_sandbox_key_is_refused_for_stripe_itself(tenant):
    key = "sk_test_sandbox_0123456789"
    assert "sandbox" in refused(tenant, wanted(platform_key=key), REAL)["platform_key"]
    setup.configure(tenant, wanted(platform_key=key), STAND_IN)
    assert tenant.platform_key == key


def test_with_a_live_key_people_come_back_over_https(tenant):
    address = "http://shop.example/?session_id={CHECKOUT_SESSION_ID}"
    fields = refused(tenant, wanted(platform_key=LIVE, checkout_success_url=address), REAL)
    assert "https://" in fields["checkout_success_url"]
    setup.configure(tenant, wanted(checkout_success_url=address), REAL)
    assert tenant.checkout_success_url == address


def test_a_refusal_names_every_field_and_changes_nothing(tenant):
    tenant.platform_key = "sk_test_before_123456"
    fields = refused(
        tenant,
        Configuration(
            platform_key="pk_test_x", webhook_secret="x", checkout_success_url="/x", attributes=()
        ),
        REAL,
    )
    assert set(fields) == {
        "platform_key",
        "webhook_secret",
        "checkout_success_url",
        "attributes",
    }
    assert tenant.platform_key == "sk_test_before_123456"
    assert tenant.webhook_secrets == []
