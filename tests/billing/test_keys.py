import pytest

from portal.billing.keys import is_live, refuse_mismatched_key
from portal.billing.registry import EngineSettings
from portal.billing.stripe.engine import StripeBillingEngine
from portal.errors import Invalid

STRIPE = "https://api.stripe.com"
SANDBOX = "http://127.0.0.1:8001"


@pytest.mark.parametrize("key", ["sk_live_abc", "rk_live_abc", " sk_live_abc", "SK_LIVE_abc"])
@pytest.mark.parametrize(
    "base",
    [
        SANDBOX,
        "http://api.stripe.com",
        "https://api.stripe.com.example.org",
        "https://api.stripe.com@example.org",
        "https://api.stripe.com:8443",
        "https://api.stripe.com/proxy",
        "https://example.org/?https://api.stripe.com",
        "https://api.stripe.com:many",
        "https://[broken",
        "",
    ],
)
def test_a_live_key_goes_nowhere_but_to_stripe(key, base):
    with pytest.raises(Invalid, match="live key") as caught:
        refuse_mismatched_key(key, base)
    assert "abc" not in caught.value.message


@pytest.mark.parametrize("base", [STRIPE, STRIPE + "/", "https://API.stripe.com:443"])
def test_a_live_key_may_go_to_stripe(base):
    refuse_mismatched_key("sk_live_abc", base)
    assert is_live("sk_live_abc")


@pytest.mark.parametrize("base", [STRIPE, "https://api.stripe.com.", "http://api.stripe.com"])
def test_a_sandbox_key_is_not_shown_to_stripe(base):
    with pytest.raises(Invalid, match="sandbox"):
        refuse_mismatched_key(" sk_test_sandbox_abc", base)


@pytest.mark.parametrize(
    ("key", "base"), [("sk_test_sandbox_a", SANDBOX), ("sk_test_a", STRIPE), ("sk_test_a", SANDBOX)]
)
def test_test_keys_fit_where_they_belong(key, base):
    refuse_mismatched_key(key, base)
    assert not is_live(key)


@pytest.mark.parametrize("key", ["", "  ", "sk_test_a b", "sk_test_é", "sk_test_a\r\nHost: x"])
def test_what_cannot_be_a_key_is_refused(key):
    with pytest.raises(Invalid):
        refuse_mismatched_key(key, SANDBOX)


def test_an_engine_is_not_built_from_a_key_that_belongs_elsewhere():
    with pytest.raises(Invalid):
        StripeBillingEngine(EngineSettings(secret_key="sk_live_abc", api_base=SANDBOX))
    with pytest.raises(Invalid):
        StripeBillingEngine(EngineSettings(secret_key="sk_test_sandbox_abc", api_base=STRIPE))


def test_settings_never_show_their_key():
    assert "abc" not in repr(EngineSettings(secret_key="sk_test_abc", api_base=STRIPE))
