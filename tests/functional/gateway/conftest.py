"""A back end over HTTP, an API in front of it, and somebody who calls."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug.test import TestResponse

from portal.extensions import db
from portal.models import Api, Application, KeyType, Subscription, UsageSegment
from portal.services import applications, spool_place
from portal.services.call_ids import Names
from portal.services.evidence import unpacked
from portal.services.spool import Entry, entries
from portal.web.unit_of_work import unit_of_work
from tests.support.factories import Factories


@pytest.fixture
def backend() -> Iterator[HTTPServer]:
    """A back end on a port of its own."""
    server = HTTPServer(host="127.0.0.1", port=0, threaded=True)
    server.start()
    yield server
    server.clear()
    if server.is_running():
        server.stop()


@dataclass
class Caller:
    """An application with its keys, subscribed to one API."""

    client: FlaskClient
    application: Application
    api: Api
    subscription: Subscription
    key: str
    sandbox_key: str

    def call(self, path: str = "/hello", *, method: str = "GET", **more: Any) -> TestResponse:
        """Call a path of the API with the production key, unless other headers are given."""
        headers = more.pop("headers", None)
        return self.client.open(
            f"{self.api.gateway_path}{path}",
            method=method,
            headers={"ApiKey": self.key} if headers is None else headers,
            **more,
        )

    def events(self) -> list[Entry]:
        """The calls that were recorded, in order, with the ids that their callers got."""
        db.session.rollback()
        kept = db.session.query(UsageSegment).order_by(UsageSegment.segment_id)
        names = Names(spool_place.number_of(db.session.connection()))
        return [
            replace(entry, call_id=names.of(UUID(entry.call_id)))
            for one in kept
            for entry in entries(unpacked(one.records))
        ]


MakeCaller = Callable[..., Caller]


@pytest.fixture
def make_caller(app: Flask, factories: Factories, backend: HTTPServer) -> MakeCaller:
    """Make a caller; named values go to the API, to the plan or to the subscription."""

    def make(
        *, api: dict[str, Any] | None = None, plan: dict[str, Any] | None = None, **more: Any
    ) -> Caller:
        values = {"endpoint_url": backend.url_for("/base"), **(api or {})}
        policy = factories.policy()
        for name, value in (plan or {}).items():
            setattr(policy, name, value)
        factories.save(policy)
        made = factories.api(None, policy, **values)
        application = factories.application()
        subscription = factories.subscription(
            api=made, application=application, policy=policy, **more
        )
        with unit_of_work():
            _, key = applications.generate_key(application, KeyType.PRODUCTION)
            _, sandbox_key = applications.generate_key(application, KeyType.SANDBOX)
        return Caller(app.test_client(), application, made, subscription, key, sandbox_key)

    return make


@pytest.fixture
def caller(make_caller: MakeCaller) -> Caller:
    """Somebody with a free subscription."""
    return make_caller()
