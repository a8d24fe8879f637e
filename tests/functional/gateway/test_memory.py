"""The gateway decides from memory, and hears of every change that matters."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from pytest_httpserver import HTTPServer

from portal import clock
from portal.extensions import db
from portal.gateway.known import STATIC_SECONDS, Asked, Known
from portal.models import (
    Api,
    Application,
    ApplicationKey,
    KeyType,
    OAuthClient,
    OAuthToken,
    Policy,
    Subscription,
    User,
)
from portal.services import applications, subscriptions, tokens
from portal.services.applications import hash_of
from portal.services.subscriptions import Cause, Move
from portal.web import changes
from portal.web.unit_of_work import unit_of_work
from tests.functional.gateway.conftest import Caller, MakeCaller


class Process:
    """The memory of another process, which is told nothing but by the database."""

    def __init__(self, caller: Caller) -> None:
        self.now = 0.0
        self.caller = caller
        api = caller.api
        self.asked = Asked(hash_of(caller.key), "carbon.super", api.context, api.api_version)
        self.known = Known(db.engine, lambda: self.now)

    def find(self, asked: Asked | None = None):
        return self.known.find(asked or self.asked, clock.now())


@pytest.fixture
def process(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Process:
    db.session.rollback()
    monkeypatch.setattr(changes, "local_number", lambda: 0)
    return Process(caller)


def _statements(work: Callable[[], object]) -> int:
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    return len([each for each in seen if not each.startswith("BEGIN")])


def test_a_key_that_is_known_costs_no_query(process: Process) -> None:
    assert _statements(process.find) > 0
    assert _statements(lambda: [process.find() for _ in range(50)]) == 0
    process.now += 0.3
    assert _statements(process.find) == 2, "the number, and what changed lately"


def _block(caller: Caller) -> None:
    subscription = db.session.get_one(Subscription, caller.subscription.subscription_id)
    subscriptions.make(subscription, Move.BLOCK_ALL, Cause(because="Test.", actor="publisher"))


def _change(model: type, name: str, value: object) -> Callable[[Caller], None]:
    def change(caller: Caller) -> None:
        setattr(db.session.scalars(sa.select(model)).first(), name, value)

    return change


@pytest.mark.parametrize(
    ("change", "shows"),
    [
        (_block, lambda found: found.subscriber.standing.facts.block == "ALL"),
        (_change(Policy, "quota", 77), lambda found: found.subscriber.limits.quota == 77),
        (
            _change(Api, "endpoint_url", "http://127.0.0.1:1/x"),
            lambda found: found.target.endpoint_url.endswith("/x"),
        ),
        (
            _change(Application, "deleted_at", clock.now() - timedelta(days=1)),
            lambda found: found is None,
        ),
        (
            lambda caller: db.session.execute(
                sa.update(ApplicationKey).values(revoked_at=clock.now() - timedelta(days=1))
            ),
            lambda found: found is None,
        ),
    ],
)
@pytest.mark.all_databases
def test_a_change_reaches_another_process_within_the_second(
    process: Process, change: Callable[[Caller], None], shows: Callable[[object], bool]
) -> None:
    assert not shows(process.find())
    with unit_of_work():
        change(process.caller)
    process.now += 0.7
    assert shows(process.find())


def test_a_subscription_that_changes_leaves_the_others_in_memory(
    process: Process, make_caller: MakeCaller
) -> None:
    other = make_caller()
    asked = Asked(hash_of(other.key), "carbon.super", other.api.context, other.api.api_version)
    process.find(), process.find(asked)
    with unit_of_work():
        _block(process.caller)
    process.now += 0.3
    process.known.refresh()
    assert _statements(lambda: process.find(asked)) == 0
    assert _statements(process.find) > 0


def test_what_was_not_there_is_asked_for_again_a_second_later(process: Process) -> None:
    asked = process.asked._replace(key_hash="0" * 64)
    assert process.find(asked) is None
    assert _statements(lambda: process.find(asked)) == 0
    process.now += 1.1
    process.known.refresh()
    assert _statements(lambda: process.find(asked)) > 0


def test_a_key_in_rotation_works_until_its_moment_and_not_longer(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unit_of_work():
        key = db.session.scalars(
            sa.select(ApplicationKey).where(ApplicationKey.key_type == KeyType.PRODUCTION)
        ).one()
        key.revoked_at = clock.now() + timedelta(hours=1)
    assert process.find() is not None
    later = clock.now() + timedelta(hours=1)
    assert process.known.find(process.asked, later) is None


def test_without_the_database_what_is_known_holds_for_a_minute_and_nothing_new_comes_in(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process.find() is not None

    def away(*_args: object) -> None:
        raise sa.exc.OperationalError("connect", {}, Exception("away"))

    process.known._engine = type("Away", (), {"connect": away})()
    process.now += STATIC_SECONDS - 1
    assert process.find() is not None
    with pytest.raises(sa.exc.OperationalError):
        process.find(process.asked._replace(key_hash="1" * 64))
    process.now += 2
    with pytest.raises(sa.exc.OperationalError):
        process.find()


def test_threads_that_wait_for_a_database_that_hangs_do_not_ask_it_in_turn(
    process: Process,
) -> None:
    assert process.find() is not None
    asked: list[int] = []

    def hang(*_args: object) -> None:
        asked.append(1)
        time.sleep(0.3)
        raise sa.exc.OperationalError("connect", {}, Exception("away"))

    process.known._engine = type("Away", (), {"connect": hang})()
    process.now += 1
    threads = [threading.Thread(target=process.find) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_issuing_tokens_and_keys_disturbs_no_memory(process: Process, app: Flask) -> None:
    process.find()
    before = process.known.generation
    with unit_of_work():
        application = db.session.get_one(Application, process.caller.application.application_id)
        applications.generate_key(application, KeyType.PRODUCTION)
    process.now += 0.3
    process.find()
    assert process.known.generation == before


def _token(caller: Caller, app: Flask, *, seconds: int = 3600) -> str:
    with unit_of_work():
        owner = db.session.scalars(sa.select(User)).first()
        client = OAuthClient(
            client_id="program",
            tenant_id=owner.tenant_id,
            owner_id=owner.user_id,
            client_name="Program",
            application_id=caller.application.application_id,
            key_type=KeyType.PRODUCTION,
        )
        db.session.add(client)
        db.session.flush()
        db.session.add(
            OAuthToken(
                oauth_client_id=client.oauth_client_id,
                user_id=owner.user_id,
                access_token_hash=tokens.digest("an-access-token-of-the-program"),
                expires_at=clock.now() + timedelta(seconds=seconds),
            )
        )
    return "an-access-token-of-the-program"


def test_an_access_token_of_the_application_calls_as_its_key_does(
    caller: Caller, backend: HTTPServer, app: Flask
) -> None:
    backend.expect_request("/base/hello").respond_with_data("ok")
    bearer = {"Authorization": f"Bearer {_token(caller, app)}"}
    assert caller.call(headers=bearer).status_code == 200
    assert [entry.key_type for entry in caller.events()] == ["PRODUCTION"]

    with unit_of_work():
        db.session.execute(sa.update(OAuthToken).values(revoked_at=clock.now()))
    refused = caller.call(headers=bearer)
    assert (refused.status_code, refused.get_json()["code"]) == (401, 900901)


def test_an_access_token_that_expires_or_whose_person_is_disabled_works_no_longer(
    caller: Caller, process: Process, app: Flask
) -> None:
    token = _token(caller, app)
    asked = process.asked._replace(key_hash=hash_of(token))
    assert process.find(asked) is not None
    assert process.known.find(asked, clock.now() + timedelta(hours=2)) is None
    with unit_of_work():
        for person in db.session.scalars(sa.select(User)):
            person.disabled = True
    process.now += 0.7
    assert process.find(asked) is None
