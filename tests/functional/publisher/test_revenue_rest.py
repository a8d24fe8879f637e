"""Revenue over REST: the figures of the page, for programs."""

from decimal import Decimal

import pytest

from portal.extensions import db
from portal.models import Api
from portal.services import takings
from tests.functional.publisher.test_revenue import shown, traveller
from tests.support.rest import Rest

__all__ = ["shown", "traveller"]


@pytest.fixture
def rest(app, shown):
    """A program of the publisher's, and one of their APIs."""
    api = db.session.query(Api).order_by(Api.api_id).first()
    return Rest(app, api.provider, "publisher/v4"), api


def test_page_and_rest_say_the_same(shown, rest, browser):
    program, api = rest
    answer = program.get(f"/apis/{api.api_uuid}/revenue").json
    rows = {row.currency.upper(): row for row in shown.sums("api") if row.group == api.api_uuid}
    assert {total["currency"] for total in answer["totals"]} == set(rows)
    browser.sign_in(api.provider.username)
    page = browser.get(f"/publisher/revenue?by=api&api={api.api_uuid}").text
    for total in answer["totals"]:
        row = rows[total["currency"]]
        for name, words in (("platform_fee", "platformFee"), *((n, n) for n in ("paid", "net"))):
            said = Decimal(total[words])
            assert f"{said:,}" in row.amount(name)
            assert row.amount(name) in page


def test_the_subscriptions_add_up_to_the_total(rest):
    program, api = rest
    answer = program.get(f"/apis/{api.api_uuid}/revenue").json
    for total in answer["totals"]:
        items = [each for each in answer["list"] if each["currency"] == total["currency"]]
        for name in set(total) - {"currency"}:
            assert sum(Decimal(each[name]) for each in items) == Decimal(total[name]), name
    assert answer["asOf"]
    assert answer["problem"] is None
    assert all(name.startswith("Revenue for subscription ID : ") for name in answer["properties"])
    assert set(takings.OF_INVOICES) <= set(answer["totals"][0])
