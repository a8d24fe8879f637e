"""What the log says of an error, and what it never says."""

import json

import pytest
import structlog

from portal.services import applications
from portal.web import logs


def fail(secret):
    return structlog.get_logger().bind(), int(secret)


@pytest.fixture
def line(app, capsys):
    structlog.contextvars.clear_contextvars()

    def read():
        return json.loads(capsys.readouterr().err.strip().splitlines()[-1])

    return read


def test_an_error_is_its_type_and_its_place_without_what_it_held(app, line, capsys):
    try:
        applications.hash_of(None)
    except Exception:
        structlog.get_logger().exception("broke", subscription=5)
    written = line()
    assert written["error"] == "AttributeError"
    assert written["place"].startswith("services/applications.py:")
    assert (written["event"], written["subscription"], written["level"]) == ("broke", 5, "error")
    assert set(written) == {"error", "place", "event", "subscription", "level", "timestamp"}


def test_the_message_of_an_error_stays_out(app, line):
    try:
        fail("sk_test_a_secret_key")
    except ValueError:
        structlog.get_logger().exception("broke")
    assert "sk_test" not in json.dumps(line())


def test_a_value_that_is_no_text_is_named_by_its_type(app, line):
    structlog.get_logger().info("seen", thing=object())
    assert line()["thing"] == "<object>"


def test_an_unexpected_error_shows_a_reference_and_no_trace(app, line):
    @app.get("/broken")
    def broken():
        raise RuntimeError("whsec_a_secret")

    broken.access = "public"
    page = app.test_client().get("/broken", headers={"Accept": "text/html"})
    body, written = page.get_data(as_text=True), line()
    assert page.status_code == 500
    assert written["event"] == "unexpected"
    assert written["request"] in body
    for text in (body, json.dumps(written)):
        assert "whsec" not in text
        assert "Traceback" not in text


def test_outside_the_portal_is_said_so():
    assert logs._place(ValueError("x")) == "outside the portal"
