"""12 APIs with 40 applications each: WSO2 bills the ten busiest APIs only (W41)."""

from collections import Counter
from uuid import uuid4

import sqlalchemy as sa
from flask import Flask

from portal.extensions import db
from portal.models import EngineSubscription, SharedCustomer, Subscription, TimelineEntry
from portal.web.unit_of_work import unit_of_work
from tests.usage.conftest import Metered, MeterEngine
from tests.usage.faulty import ManyAtOnce, moved, publish_with


def test_12_apis_and_40_applications_are_all_billed(
    app: Flask, factories, make_metered, travel
) -> None:
    """WSO2 asks for the ten busiest (W41)."""
    one = make_metered()
    engine = ManyAtOnce()
    engine.parallel, engine.calls_per_second = 8, 1e6
    moved(one.engine, [one], engine)
    some = [one, *_multiplied(one, engine, 12 * 40 - 1)]
    for number, each in enumerate(some):
        each.call(1 + number % 2)
    run = publish_with(engine, factories)

    assert (run.status, run.batches) == ("SUCCESSFUL", 480)
    assert engine.reports == 480, "exactly one call for each item"
    assert run.calls == sum(each.recorded for each in some) == 720
    sent = [report for _, _, report in engine.ledger]
    assert len({report.identifier for report in sent}) == 480
    by_customer = Counter({each.customer: 0 for each in some})
    for each in some:
        by_customer[each.customer] += each.recorded
    assert len(by_customer) == 40
    assert {each.customer: each.total for each in some} == by_customer
    again = publish_with(engine, factories)
    assert (again.batches, engine.reports) == (0, 480)


def _multiplied(one: Metered, engine: MeterEngine, count: int) -> list[Metered]:
    """Copy a subscription's rows: 12 APIs with 40 applications each."""

    def copy(row, **values):
        kept = {c.key: getattr(row, c.key) for c in sa.inspect(type(row)).column_attrs}
        for key in sa.inspect(type(row)).primary_key:
            kept.pop(sa.inspect(type(row)).get_property_by_column(key).key)
        if "uuid" in kept:
            kept["uuid"] = str(uuid4())
        made = type(row)(**(kept | values))
        db.session.add(made)
        db.session.flush()
        return made

    found: list[Metered] = []
    with unit_of_work():
        base = db.session.get_one(Subscription, one.id)
        link = db.session.query(EngineSubscription).filter_by(am_subscription_id=one.id).one()
        customer = db.session.get_one(SharedCustomer, link.shared_customer_id)
        line = db.session.query(TimelineEntry).filter_by(subscription_uuid=base.uuid).first()
        apis = [base.api] + [
            copy(base.api, api_uuid=f"{n:036d}", api_name=f"api-{n}", context=f"many-{n}")
            for n in range(1, 12)
        ]
        applications = [base.application] + [
            copy(base.application, uuid=f"{n:036d}", name=f"app-{n}", live_name=f"app-{n}")
            for n in range(1, 40)
        ]
        # One customer for each application, as the contract says.
        mine = {base.application_id: customer} | {
            each.application_id: copy(
                customer, application_id=each.application_id, shared_customer_id=f"cus_many{n}"
            )
            for n, each in enumerate(applications[1:])
        }
        places = [(api, each) for api in apis for each in applications][1:]
        assert len(places) == count
        for number, (api, application) in enumerate(places):
            uuid = f"{number:032d}-480"
            copy(line, subscription_uuid=uuid)
            row = copy(
                base, uuid=uuid, api_id=api.api_id, application_id=application.application_id,
                live_key=f"{application.application_id}:{api.api_id}",
                engine_subscription_id=f"sub_many{number}",
            )  # fmt: skip
            copy(
                link, am_subscription_id=row.subscription_id,
                shared_customer_id=mine[application.application_id].id,
                subscribed_application_id=application.application_id,
                subscribed_api_id=api.api_id, subscription_id=f"sub_many{number}",
            )  # fmt: skip
            buyer = mine[application.application_id].shared_customer_id
            found.append(Metered(engine, row, one.account, buyer))
    return found
