"""While the database is down, every answer says so and nothing is taken for granted."""

import pytest

from portal import clock, create_app
from tests.pages import check_page


@pytest.fixture
def client(settings):
    away = settings.model_copy(
        update={"database_url": "postgresql+psycopg://portal@127.0.0.1:9/portal"}
    )
    app = create_app(away)
    client = app.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = "somebody.0"
        session["began_at"] = session["used_at"] = clock.epoch(clock.now())
    return client


def test_a_page_says_that_nothing_was_changed(client):
    page = client.get("/devportal/", headers={"Accept": "text/html"})

    assert page.status_code == 503
    assert page.headers["Cache-Control"] == "no-store"
    assert "Nothing was changed" in check_page(page).get_text()


def test_the_webhook_answers_so_that_stripe_sends_again(client):
    answer = client.post("/api/am/stripe/webhook?tenantDomain=carbon.super", data=b"{}")

    assert answer.status_code == 503


def test_alive_but_not_ready(client):
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_the_gateway_never_newly_allows(client):
    answer = client.get("/gateway/weather/1.0/now", headers={"ApiKey": "amp_live_x"})

    assert answer.status_code == 503
