"""Two tenants with one of everything, in one database that is filled once, and who calls."""

import base64
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal import clock
from portal.extensions import db
from portal.models import (
    ApplicationMember,
    BatchState,
    IdentityProvider,
    InboxEvent,
    KeyType,
    Mail,
    Notice,
    NoticeKind,
    Outcome,
    Refund,
    RefundStatus,
    Subscription,
    UsageBatch,
    User,
)
from portal.services import applications, signing, subscribing, system_apps
from tests.access.table import ACTORS
from tests.support.factories import Factories
from tests.support.memory_engine import MemoryBillingEngine
from tests.support.rest import token_of

ACCOUNT = "acct_publisher1"
PASSWORD = "open sesame"
FAR = "other.example"
BACK_END = "http://127.0.0.1:9/"
#: actor -> user name, role
PEOPLE = {
    "no scope": ("nora", "newcomer"),
    "owner": ("olga", "subscriber"),
    "member": ("mia", "subscriber"),
    "subscriber": ("sam", "subscriber"),
    "publisher": ("paul", "publisher"),
    "publisher 2": ("petra", "publisher"),
    "admin": ("ada", "admin"),
    "ended": ("eve", "admin"),
    "far subscriber": ("olga", "subscriber"),
    "far publisher": ("paul", "publisher"),
    "far admin": ("ada", "admin"),
}


@dataclass
class World:
    """The running portal, what can be named in it, and how each actor calls."""

    app: Flask
    file: Path
    names: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    form_tokens: dict[str, str] = field(default_factory=dict)
    watcher: sqlite3.Connection | None = None

    def call(self, actor: str, method: str, path: str, how: str, **more: Any) -> TestResponse:
        """Send one request as an actor.

        :param how: ``page``, ``token``, ``basic`` or ``key``: how the address is called rightly
        """
        headers = dict(more.pop("headers", {}))
        if actor == "other kind":
            # The right person with the wrong kind of proof.
            actor, other = "admin", "token" if how == "page" else "page"
            headers |= self._proof("visitor", how) | self._proof(actor, other)
        elif actor in PEOPLE or how == "page":
            headers |= self._proof(actor, how)
        client = self.app.test_client(use_cookies=False)
        return client.open(path, method=method, headers=headers, **more)

    def _proof(self, actor: str, how: str) -> dict[str, str]:
        if how == "page":
            return {"Cookie": self.cookies[actor], "X-CSRFToken": self.form_tokens[actor]}
        if actor == "visitor":
            return {}
        if how == "token":
            return {"Authorization": f"Bearer {self.tokens[actor]}"}
        if how == "basic":
            name = PEOPLE[actor][0] + (f"@{FAR}" if actor.startswith("far") else "")
            password = "not this" if actor == "ended" else PASSWORD
            shown = base64.b64encode(f"{name}:{password}".encode()).decode()
            return {"Authorization": f"Basic {shown}"}
        return {"ApiKey": self.keys[actor]} if actor in self.keys else {}

    def changes(self) -> int:
        """Return a number that differs when somebody else has written to the database."""
        assert self.watcher is not None
        return int(self.watcher.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back what is written within."""
        before = self.changes()
        yield
        if self.changes() != before:
            with sqlite3.connect(self.file.with_suffix(".filled")) as filled:
                with sqlite3.connect(self.file) as present:
                    filled.backup(present)
                present.close()
            filled.close()


def build(folder: Path) -> World:
    """Return the world, filled."""
    from portal import create_app
    from portal.config import Settings

    file = folder / "portal.sqlite3"
    settings = Settings(
        secret_key="a-secret-key-that-is-only-for-tests-0123456789",
        encryption_keys=(Fernet.generate_key().decode(),),
        database_url=f"sqlite:///{file}",
        stripe_api_base=BACK_END,
        sandbox_base_url=BACK_END,
        backend_allowlist=("http://127.0.0.1",),
        queue_url="memory",
        mail_url="mailbox:",
        PORTAL_INSTANCE=folder / "instance",
        PORTAL_TESTING=True,
    )
    app = create_app(settings)
    engine = MemoryBillingEngine()
    app.extensions["portal_engines"]._factory = lambda _settings: engine
    world = World(app, file)
    with app.app_context():
        db.create_all()
        _fill(world, Factories(), engine)
        db.session.remove()
    world.cookies["visitor"], world.form_tokens["visitor"] = _visiting(world)
    for actor in PEOPLE:
        world.cookies[actor], world.form_tokens[actor] = _signed_in(world, actor)
    _pay(world, engine)
    with app.app_context():
        _end_eve()
        db.session.remove()
        # Everything into the one file that is copied.
        db.session.connection().exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        db.session.remove()
    shutil.copy(file, file.with_suffix(".filled"))
    world.watcher = sqlite3.connect(file)
    return world


def close(world: World) -> None:
    """Let go of the database."""
    assert world.watcher is not None
    world.watcher.close()
    with world.app.app_context():
        db.engine.dispose()


def _fill(world: World, make: Factories, engine: MemoryBillingEngine) -> None:
    far, people = make.tenant(FAR), {}
    make.tenant()
    for actor, (name, role) in PEOPLE.items():
        tenant = far if actor.startswith("far") else None
        people[actor] = make.user(name, role, tenant=tenant)
    _objects(world, make, engine, people)
    for actor, person in people.items():
        world.tokens[actor] = token_of(person)
    world.tokens["no scope"] = token_of(people["admin"], "none")
    for actor in ("subscriber", "far subscriber"):
        application = make.application("Own", owner=people[actor])
        _, world.keys[actor] = applications.generate_key(application, KeyType.PRODUCTION)
    # Made by the first who asks, otherwise: then reading would write.
    signing.make()
    system_apps.register(system_apps.STRIPE_SERVICE, "http://127.0.0.1:8000/api/am/stripe/callback")
    db.session.commit()


def _objects(
    world: World, make: Factories, engine: MemoryBillingEngine, people: dict[str, User]
) -> None:
    owner = people["owner"]
    paid, free = make.fixed_policy(name="Bronze"), make.policy("Free")
    spare = make.policy("Spare")
    api = make.api("Weather", paid, free, provider=people["publisher"], endpoint_url=BACK_END)
    api.definition = json.dumps({"openapi": "3.1.0", "info": {"title": "Weather", "version": "1"}})
    second = make.api("Places", free, provider=people["publisher"])
    draft = make.api("Draft", free, provider=people["publisher"], status="CREATED")
    make.offer(api, paid, engine, ACCOUNT)
    application = make.application("Shop", owner=owner)
    empty, rich = make.application("Empty", owner=owner), make.application("Rich", owner=owner)
    for shared in (application, empty, rich):
        db.session.add(
            ApplicationMember(
                application_id=shared.application_id,
                user_id=people["member"].user_id,
                added_by_id=owner.user_id,
            )
        )
    working = subscribing.subscribe(owner, application, api, free)
    waiting = subscribing.subscribe(owner, empty, api, paid)
    bought = subscribing.subscribe(owner, rich, api, paid)
    key, text = applications.generate_key(application, KeyType.PRODUCTION)
    world.keys["owner"] = text
    db.session.commit()
    batch = _batch(working.subscription_id, api.tenant_id)
    make.save(batch)
    make.save(_event(api.tenant_id))
    refund = _refund(bought.subscription_id, api.tenant_id)
    make.save(refund)
    # The same number stands in the addresses of both.
    assert refund.refund_id == batch.batch_id
    notice = make.save(_notice(working))
    mail = make.save(
        Mail(
            message_id="one",
            tenant_id=api.tenant_id,
            recipient="olga@example.com",
            subject="Told",
            body="Told.",
        )
    )
    drift = make.difference("status", tenant_id=api.tenant_id, repairable=True)
    world.names |= {
        "api": api.api_uuid,
        "draft": draft.api_uuid,
        "other api": second.api_uuid,
        "policy": spare.uuid,
        "application": application.uuid,
        "empty": empty.uuid,
        "key": key.uuid,
        "subscription": working.uuid,
        "waiting": waiting.uuid,
        "paid": bought.uuid,
        "free": free.uuid,
        "rich": rich.uuid,
        "event": "evt_1",
        "notice": notice.uuid,
        "mail": str(mail.mail_id),
        "batch": str(batch.batch_id),
        "drift": str(drift.drift_id),
        "owner": owner.uuid,
        "member": people["member"].uuid,
        "subscriber": people["subscriber"].uuid,
    }


def _pay(world: World, engine: MemoryBillingEngine) -> None:
    """Let the owner pay for one subscription, so that there is an invoice."""
    page = f"/api/am/stripe/checkout-url?subscriptionId={world.names['paid']}"
    assert world.call("owner", "GET", page, "page").status_code == 303
    session_id = next(reversed(engine.provider.pages))
    engine.provider.pay(session_id)
    back = f"/api/am/stripe/complete-session?session_id={session_id}"
    assert world.call("owner", "GET", back, "page").json == {"status": "completed"}


def _event(tenant_id: int) -> InboxEvent:
    body = {"id": "evt_1", "object": "event", "type": "customer.created", "data": {"object": {}}}
    return InboxEvent(
        tenant_id=tenant_id,
        event_id="evt_1",
        type="customer.created",
        account=ACCOUNT,
        livemode=False,
        created=clock.epoch(clock.now()),
        payload_zlib=InboxEvent.pack(json.dumps(body).encode()),
        outcome=Outcome.IGNORED,
    )


def _notice(subscription: Subscription) -> Notice:
    return Notice(
        tenant_id=subscription.tenant_id,
        subscription_id=subscription.subscription_id,
        kind=NoticeKind.QUOTA_80,
        occasion="one",
        subject="Told",
        body="Told.",
    )


def _batch(subscription_id: int, tenant_id: int) -> UsageBatch:
    now = clock.now()
    return UsageBatch(
        tenant_id=tenant_id,
        subscription_id=subscription_id,
        number=1,
        identifier="parked",
        connected_account=ACCOUNT,
        engine_customer_id="cus_1",
        meter_event_name="calls",
        quantity=1,
        first_at=now - timedelta(hours=2),
        last_at=now - timedelta(hours=1),
        stamp=now - timedelta(hours=1),
        state=BatchState.UNKNOWN,
    )


def _refund(subscription_id: int, tenant_id: int) -> Refund:
    return Refund(
        tenant_id=tenant_id,
        am_subscription_id=subscription_id,
        engine_subscription_id=f"sub_{tenant_id}",
        connected_account=ACCOUNT,
        because="Not approved.",
        status=RefundStatus.REFUSED,
    )


def _signed_in(world: World, actor: str) -> tuple[str, str]:
    """Sign an actor in; return the cookie, and the token that forms carry."""
    client = world.app.test_client()
    name = PEOPLE[actor][0] + (f"@{FAR}" if actor.startswith("far") else "")
    form = {"username": name, "password": PASSWORD, "csrf_token": _form_token(client)}
    assert client.post("/account/sign-in", data=form).status_code == 303, actor
    token = _form_token(client)
    return _cookie(client), token


def _visiting(world: World) -> tuple[str, str]:
    """Open the sign-in page; return the cookie, and the token that forms carry."""
    client = world.app.test_client()
    token = _form_token(client)
    return _cookie(client), token


def _cookie(client: FlaskClient) -> str:
    cookie = client.get_cookie("portal_session")
    assert cookie is not None
    return f"portal_session={cookie.value}"


def _form_token(client: FlaskClient) -> str:
    page = client.get("/account/sign-in?again=1").get_data(as_text=True)
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def _end_eve() -> None:
    """Sign her out everywhere, and revoke her token; let the other tenant sign in elsewhere."""
    from portal.models import OAuthToken

    eve = db.session.query(User).filter_by(username="eve").one()
    eve.session_epoch += 1
    far = Factories().tenant(FAR)
    db.session.add(
        IdentityProvider(tenant_id=far.tenant_id, issuer=BACK_END, client_id="portal", enabled=True)
    )
    db.session.query(OAuthToken).filter_by(user_id=eve.user_id).update({"revoked_at": clock.now()})
    db.session.commit()


assert set(PEOPLE) <= set(ACTORS)
