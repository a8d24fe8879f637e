"""A portal that answers over HTTP, with one person of each role and something on sale."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from portal.extensions import db
from portal.services import subscribing
from portal.web.unit_of_work import unit_of_work
from tests.support.rest import token_of

ACCOUNT = "acct_publisher1"
ROLES = ("admin", "publisher", "subscriber")


@dataclass(frozen=True)
class Served:
    """Where the portal answers, a token of each person by role, and what can be named."""

    origin: str
    tokens: dict[str, str]
    known: dict[str, list[str]]


class Quiet(WSGIRequestHandler):
    """Prints no line for each request."""

    def log(self, *_args: object) -> None:
        """Print nothing."""


@pytest.fixture
def served(app, engine, factories) -> Iterator[Served]:
    people = {role: factories.user(f"{role}1", role) for role in ROLES}
    paid, free = factories.fixed_policy(name="Bronze"), factories.policy("Free")
    api = factories.api("Weather", paid, free, provider=people["publisher"])
    second = factories.api("Places", free, provider=people["publisher"])
    factories.offer(api, paid, engine, ACCOUNT)
    applications = [factories.application(owner=person) for person in people.values()]
    subscriptions = []
    for person, application in zip(people.values(), applications, strict=True):
        for target, plan in ((api, paid), (second, free)):
            with unit_of_work():
                made = subscribing.subscribe(person, application, target, plan)
                subscriptions.append(made.uuid)
    known = {
        "api": [api.api_uuid, second.api_uuid],
        "application": [application.uuid for application in applications],
        "subscription": subscriptions,
        "policy": [paid.uuid, free.uuid],
        "plan": ["Bronze", "Free"],
    }
    tokens = {role: token_of(person) for role, person in people.items()}
    db.session.remove()
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Served(f"http://127.0.0.1:{server.port}", tokens, known)
    server.shutdown()
    thread.join()
    server.server_close()
