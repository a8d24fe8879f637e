"""The log tells what matters for security, a JSON object a line, and no secret."""

import json
from datetime import timedelta

import pytest
import time_machine

from portal import clock
from portal.extensions import db
from portal.models import Tenant
from tests.support.browser import Browser

PASSWORD = "open sesame"
KEY, HOOK = "sk_test_memory_entered_5678", "whsec_entered_by_hand_0001"


@pytest.fixture
def written(capsys):
    def read():
        return [
            json.loads(line) for line in capsys.readouterr().err.splitlines() if line[:1] == "{"
        ]

    return read


def test_what_matters_is_in_the_log_and_no_secret_is(app, browser, factories, written, capsys):
    ada = factories.user("ada", "admin")
    factories.user("dana", "subscriber")
    stranger = Browser(app)
    stranger.client.environ_base["REMOTE_ADDR"] = "203.0.113.7"
    for status in (401, 401, 401, 401, 401, 429):
        stranger.get("/account/sign-in")
        form = {"username": "my-passw0rd-by-mistake", "password": PASSWORD + "!"}
        stranger.submit("Sign in", form, expect=status)
    browser.sign_in("ada").get("/admin/configuration")
    entered = {"platform_key": KEY, "webhook_secret": HOOK, "reminder_days": "1"}
    browser.submit("Save", entered)
    with time_machine.travel(clock.now() + timedelta(minutes=16), tick=False):
        browser.get("/admin/configuration").submit("Save", entered, expect=403)
        browser.submit("Confirm and go on", {"confirm_password": PASSWORD})
    Browser(app).sign_in("dana").get("/admin/", expect=403)
    forged = {"Stripe-Signature": "t=1,v1=00"}
    app.test_client().post("/api/am/stripe/webhook", data=b"{}", headers=forged)
    lines = written()
    events = [line["event"] for line in lines]
    assert events.count("sign_in_failed") == 5
    assert events.count("sign_in_locked") == 1
    assert events.count("sign_in_proved") == 3
    assert {"act", "denied", "webhook_not_genuine"} <= set(events)
    act = next(line for line in lines if line["event"] == "act")
    assert (act["act"], act["person"]) == ("admin.configuration", ada.user_id)
    for line in lines:
        assert {"event", "level", "timestamp", "request"} <= set(line)
    text = json.dumps(lines)
    tenant = db.session.query(Tenant).one()
    for secret in (PASSWORD, KEY, HOOK, tenant.platform_key_sealed, "my-passw0rd-by-mistake"):
        assert secret not in text
