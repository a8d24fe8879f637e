"""What the main lists ask the database: little, and the same for five rows and fifty."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from portal.extensions import db
from portal.models import Application, InboxEvent
from portal.web.unit_of_work import unit_of_work
from tests.support import statements
from tests.support.browser import Browser
from tests.support.factories import Factories

MOST = 4
FEW, MANY = 5, 50


@dataclass
class Rows:
    """Adds rows to every list: APIs, applications, subscriptions of one of each, events."""

    factories: Factories
    plan: Any
    people: dict[str, Any]
    api: Any
    application: Any
    number: int = 0

    def up_to(self, count: int) -> None:
        while self.number < count:
            self.number += 1
            self.add(self.number)

    def add(self, number: int) -> None:
        make, plan = self.factories, self.plan
        api = make.api(f"Api{number}", plan, provider=self.people["pat"])
        application = make.application(f"App{number}", owner=self.people["dana"])
        make.subscription(api=api, application=self.application, policy=plan)
        row = make.subscription(api=self.api, application=application, policy=plan)
        body = json.dumps({"id": f"evt_{number}"}).encode()
        event = InboxEvent(
            tenant_id=api.tenant_id, event_id=f"evt_{number}", type="invoice.paid",
            livemode=False, created=1_780_000_000, outcome="applied",
            payload_zlib=InboxEvent.pack(body), am_subscription_id=row.subscription_id,
        )  # fmt: skip
        make.save(event)


@pytest.fixture
def rows(factories) -> Rows:
    roles = {"pat": "publisher", "dana": "subscriber", "admin": "admin"}
    people = {name: factories.user(name, role) for name, role in roles.items()}
    plan = factories.policy(name="Free")
    api = factories.api("Weather", plan, provider=people["pat"])
    application = factories.application("Phone", owner=people["dana"])
    return Rows(factories, plan, people, api, application)


#: Each list, and who looks at it.
LISTS = {
    "/devportal/": "dana",
    "/devportal/applications": "dana",
    "/devportal/applications/{application}/subscriptions": "dana",
    "/devportal/invoices": "dana",
    "/devportal/notices": "dana",
    "/publisher/": "pat",
    "/publisher/apis/{api}/subscriptions": "pat",
    "/publisher/revenue": "pat",
    "/publisher/revenue/invoices": "pat",
    "/publisher/plans": "pat",
    "/admin/events": "admin",
    "/admin/plans": "admin",
    "/admin/approvals": "admin",
    "/admin/people": "admin",
    "/admin/drift": "admin",
    "/admin/usage/subscriptions": "admin",
}


#: The pages whose views say that they only read.
READS = {
    "admin.events": "admin",
    "admin.approvals": "admin",
    "publisher.home": "pat",
    "devportal.home": "dana",
}


@pytest.mark.all_databases
def test_what_only_reads_writes_nothing_and_answers_nothing_but_get(app, rows: Rows) -> None:
    marked = {name for name, view in app.view_functions.items() if hasattr(view, "only_reads")}
    assert marked == set(READS)
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint in marked]
    assert all(rule.methods == {"GET", "HEAD", "OPTIONS"} for rule in rules)
    browsers = {name: Browser(app).sign_in(name) for name in rows.people}
    rows.up_to(FEW)
    db.session.rollback()
    for rule in rules:
        sent = statements.sent(lambda rule=rule: browsers[READS[rule.endpoint]].get(rule.rule))
        assert {text.split()[0] for text in sent} <= {"SELECT", "BEGIN"}, rule.endpoint


@pytest.mark.all_databases
def test_a_unit_of_work_after_a_page_that_only_reads_is_undone_whole(app, rows: Rows) -> None:
    admin = Browser(app).sign_in("admin")
    db.session.rollback()
    admin.get("/admin/events")
    with pytest.raises(ZeroDivisionError):
        _half_of_an_act()
    assert db.session.query(Application).one().name == "Phone"


def _half_of_an_act() -> None:
    with unit_of_work():
        db.session.query(Application).one().name = "Half"
        db.session.flush()
        _ = 1 / 0


def test_every_list_asks_little_and_as_much_for_fifty_rows_as_for_five(app, rows: Rows) -> None:
    browsers = {name: Browser(app).sign_in(name) for name in rows.people}
    names = {"application": rows.application.uuid, "api": rows.api.api_uuid}
    counts: dict[str, list[int]] = {}
    for many in (FEW, MANY):
        rows.up_to(many)
        for path, who in LISTS.items():
            address = path.format(**names)
            cost = statements.count(lambda who=who, at=address: browsers[who].get(at))
            counts.setdefault(path, []).append(cost)
    assert {path: pair for path, pair in counts.items() if pair[0] != pair[1]} == {}
    assert {path: pair for path, pair in counts.items() if max(pair) > MOST} == {}
