import threading

import pytest
import requests
import responses
import stripe

from portal.billing import registry
from portal.billing.registry import EngineSettings
from portal.billing.stripe.client import POOL_SIZE, PooledTransport
from portal.billing.stripe.engine import StripeBillingEngine
from portal.errors import EngineAccessDenied, EngineObjectMissing, EngineUnavailable
from tests.support.scripted_stripe import BASE, KEY

SUBSCRIPTION = {
    "id": "sub_1",
    "object": "subscription",
    "status": "active",
    "customer": "cus_1",
    "items": {"object": "list", "data": []},
}


@pytest.fixture
def engine():
    return StripeBillingEngine(EngineSettings(secret_key=KEY, api_base=BASE))


@pytest.fixture
def network():
    with responses.RequestsMock() as mock:
        yield mock


def test_the_engine_is_found_under_its_name(engine):
    assert registry.load("stripe") is StripeBillingEngine
    assert engine.name == "stripe"


def test_an_unknown_name_lists_what_is_installed():
    with pytest.raises(registry.UnknownEngine, match=r"BILLING_ENGINE=paypal .* stripe"):
        registry.load("paypal")


def test_every_call_carries_key_version_and_account_and_nothing_about_this_machine(engine, network):
    network.get(f"{BASE}/v1/subscriptions/sub_1", json=SUBSCRIPTION)
    network.get(f"{BASE}/v1/subscriptions/sub_1", json=SUBSCRIPTION)
    engine.subscription("acct_1", "sub_1")
    engine.subscription("acct_1", "sub_1")
    sent = network.calls[-1].request
    assert sent.headers["Authorization"] == f"Bearer {KEY}"
    assert sent.headers["Stripe-Version"] == "2026-04-22.dahlia"
    assert sent.headers["Stripe-Account"] == "acct_1"
    assert not [name for name in sent.headers if name.lower().startswith("x-stripe")]
    assert sent.req_kwargs["timeout"] == 10


def test_nothing_is_process_wide(engine):
    before = (stripe.api_key, stripe.api_base, stripe.default_http_client)
    other = StripeBillingEngine(EngineSettings(secret_key=KEY + "2", api_base=BASE))
    assert before == (None, "https://api.stripe.com", None)
    assert (stripe.api_key, stripe.api_base, stripe.default_http_client) == before
    assert other.client is not engine.client


def test_two_tenants_use_their_own_keys(engine, network):
    other = StripeBillingEngine(EngineSettings(secret_key=KEY + "2", api_base=BASE + "/"))
    network.get(f"{BASE}/v1/subscriptions/sub_1", json=SUBSCRIPTION)
    engine.subscription("acct_1", "sub_1")
    other.subscription("acct_1", "sub_1")
    keys = [call.request.headers["Authorization"] for call in network.calls]
    assert keys == [f"Bearer {KEY}", f"Bearer {KEY}2"]


def test_connections_are_kept_and_a_netrc_is_not_read():
    transport = PooledTransport(None)
    session = transport._session
    assert session.trust_env is False
    assert session.get_adapter("https://api.stripe.com")._pool_maxsize == POOL_SIZE


def test_threads_share_the_connections(network):
    transport = PooledTransport(None)
    network.get(f"{BASE}/v1/balance", json={})
    used = []

    def ask():
        transport.request("get", f"{BASE}/v1/balance", {})
        used.append(transport._thread_local.session)

    for thread in [threading.Thread(target=ask) for _ in range(2)]:
        thread.start()
        thread.join()
    assert used == [transport._session] * 2


def test_a_proxy_is_used_for_https_and_only_there():
    transport = PooledTransport("http://proxy.example:3128")
    assert transport._proxy == {"http": None, "https": "http://proxy.example:3128"}
    assert PooledTransport(None)._proxy is None


def test_a_lost_connection_is_tried_again_with_the_same_key(engine, network, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    lost = requests.exceptions.ConnectionError("reset")
    network.post(f"{BASE}/v1/billing_portal/sessions", body=lost)
    with pytest.raises(EngineUnavailable, match="Nothing is lost"):
        engine.portal_url("acct_1", "cus_1", configuration="bpc_1", return_url="http://x")
    keys = {call.request.headers["Idempotency-Key"] for call in network.calls}
    assert len(network.calls) == 3
    assert len(keys) == 1


@pytest.mark.parametrize(
    "account", ["", " ", "acct_", "1PubWeather", "acct_1/../x", "acct_1\r\nX: y", "acct_é"]
)
def test_without_an_account_nothing_is_asked(engine, account):
    for call in (
        lambda: engine.subscription(account, "sub_1"),
        lambda: engine.archive_price(account, "price_1"),
        lambda: engine.check_account(account),
        lambda: engine.invoices(account, "sub_1"),
    ):
        with pytest.raises(EngineAccessDenied, match="Connect ID"):
            call()


def test_an_empty_id_asks_for_nothing(engine):
    for call in (
        lambda: engine.subscription("acct_1", ""),
        lambda: engine.checkout("acct_1", " "),
        lambda: engine.preview("acct_1", ""),
        lambda: engine.invoices("acct_1", ""),
        lambda: engine.cancel_subscription("acct_1", ""),
    ):
        with pytest.raises(EngineObjectMissing):
            call()


def test_an_id_cannot_leave_its_path(engine, network):
    network.get(f"{BASE}/v1/subscriptions/..%2Faccount%3Fx%3D1", json=SUBSCRIPTION)
    engine.subscription("acct_1", "../account?x=1")
    assert network.calls[0].request.path_url == "/v1/subscriptions/..%2Faccount%3Fx%3D1"
