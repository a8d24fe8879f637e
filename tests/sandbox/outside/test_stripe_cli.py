"""Stripe's own command line client, which has another encoder and another author than the SDK."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.outside.conftest import Running
from tests.sandbox.process import received, receiver

Call = Callable[..., subprocess.CompletedProcess[str]]
VERSION = "2026-04-22.dahlia"


@pytest.fixture
def cli(running: Running, stripe_cli: Path, tmp_path: Path) -> Call:
    def call(*words: str, account: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(stripe_cli), *words, "--api-base", running.base, "--api-key", running.key]
        if account:
            command += ["--stripe-account", running.account]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "HOME": str(tmp_path), "STRIPE_CLI_TELEMETRY_OPTOUT": "1"},
        )

    return call


def body(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_posts_gets_lists_and_deletes(running: Running, cli: Call) -> None:
    post = ("post", "/v1/products", "-d", "name=Weather", "-d", "metadata[tier]=Gold", "-i", "k")
    made = body(cli(*post, "--stripe-version", VERSION))
    assert (made["name"], made["metadata"]) == ("Weather", {"tier": "Gold"})
    assert body(cli(*post, "--stripe-version", VERSION))["id"] == made["id"]
    assert body(cli("get", f"/v1/products/{made['id']}"))["id"] == made["id"]
    assert body(cli("products", "list", "--limit", "3"))["data"][0]["id"] == made["id"]
    # It lives on the connected account only.
    assert body(cli("products", "list", account=False))["data"] == []
    gone = body(cli("delete", f"/v1/products/{made['id']}", "--confirm"))
    assert gone["deleted"] is True
    assert body(cli("products", "list"))["data"] == []


def test_it_is_refused_as_by_stripe(running: Running, cli: Call) -> None:
    refused = cli("post", "/v1/products", "-d", "name=x", "-d", "bogus=1")
    assert "Received unknown parameter: bogus" in refused.stdout + refused.stderr
    unknown = cli("get", "/v1/payouts")
    assert "Unrecognized request URL (GET: /v1/payouts)." in unknown.stdout + unknown.stderr
    other = cli("get", "/v1/products", "--stripe-version", "2025-03-31.basil")
    assert "sandbox_unsupported" in other.stdout + other.stderr


def test_its_resource_commands_work(running: Running, cli: Call) -> None:
    meter = body(
        cli(
            "billing", "meters", "create", "--display-name", "Calls", "--event-name", "calls",
            "-d", "default_aggregation[formula]=sum",
        )
    )  # fmt: skip
    assert meter["object"] == "billing.meter"
    customer = body(cli("customers", "create", "--email", "dev@example.com"))
    used = body(
        cli(
            "billing", "meter_events", "create", "--event-name", "calls",
            "-d", f"payload[stripe_customer_id]={customer['id']}", "-d", "payload[value]=25",
        )
    )  # fmt: skip
    assert used["payload"]["value"] == "25"


def test_it_plays_a_file_of_requests(running: Running, cli: Call) -> None:
    done = cli("fixtures", str(Path(__file__).with_name("buy.json")))
    assert done.returncode == 0, done.stderr
    (subscription,) = running.api("GET", "/v1/subscriptions")["data"]
    assert (subscription["status"], subscription["cancel_at_period_end"]) == ("active", True)
    assert subscription["metadata"] == {"apim_subscription_uuid": "1111"}
    (invoice,) = running.api("GET", "/v1/invoices")["data"]
    assert (invoice["status"], invoice["total"]) == ("paid", 3000)
    assert invoice["id"] == subscription["latest_invoice"]


def test_its_trigger_pays_a_session(running: Running, cli: Call) -> None:
    # Its own recipe sells something once; these words make a subscription of it.
    done = cli(
        "trigger", "checkout.session.completed",
        "--add", "price:recurring[interval]=month",
        "--override", "checkout_session:mode=subscription",
        "--remove", "checkout_session:payment_intent_data",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (session,) = running.api("GET", "/v1/checkout/sessions")["data"]
    assert (session["status"], session["payment_status"]) == ("complete", "paid")
    (subscription,) = running.api("GET", "/v1/subscriptions")["data"]
    assert subscription["id"] == session["subscription"]
    assert session["customer_details"]["email"] == "stripe@example.com"


def test_it_resends_an_event(running: Running, cli: Call) -> None:
    def wait(count: int) -> list[str]:
        deadline = time.monotonic() + 20
        while len(received()) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return [event["data"]["object"]["name"] for event in received()]

    with receiver() as url:
        endpoint = running.api(
            "POST", "/v1/webhook_endpoints", own=True,
            **{"url": url, "connect": "true", "enabled_events[0]": "product.created"},
        )  # fmt: skip
        body(cli("post", "/v1/products", "-d", "name=Weather"))
        assert wait(1) == ["Weather"]
        (event,) = running.api("GET", "/v1/events", type="product.created")["data"]
        again = cli(
            "events", "resend", event["id"], "--webhook-endpoint", endpoint["id"],
            "--account", running.account, account=False,
        )  # fmt: skip
        assert body(again)["id"] == event["id"]
        assert wait(2) == ["Weather", "Weather"]
