"""Idempotency-Key: the same request makes nothing more and gets the same answer."""

import threading
from datetime import timedelta

import pytest

from portal.extensions import db
from portal.models import Application, ApplicationKey, IdempotentRequest, Subscription
from tests.support.rest import Rest

BODY = {"name": "Shop", "description": ""}
KEY = {"Idempotency-Key": "order-1"}


@pytest.mark.all_databases
def test_a_repeat_makes_nothing_more_and_gets_the_same_answer(developer):
    first = developer.post("/applications", BODY, headers=KEY)
    again = developer.post("/applications", BODY, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert db.session.query(Application).count() == 1


@pytest.mark.all_databases
def test_two_at_once_make_one(app, developer_user):
    answers = []

    def send():
        with app.app_context():
            answers.append(rest.post("/applications", BODY, headers=KEY))
            db.session.remove()

    rest = Rest(app, developer_user, "devportal/v3")
    db.session.remove()
    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.json["applicationId"] for answer in answers}) == 1
    assert db.session.query(Application).count() == 1


def test_a_key_stands_for_one_request_only(developer):
    developer.post("/applications", BODY, headers=KEY)

    other = developer.post("/applications", BODY | {"name": "Other"}, headers=KEY)

    assert other.status_code == 422
    assert other.json["moreInfo"].endswith("/problems/rest/key-reused")
    assert db.session.query(Application).count() == 1


def test_two_people_may_use_the_same_key(app, developer, factories):
    other = Rest(app, factories.user("otto", "subscriber"), "devportal/v3")
    mine = developer.post("/applications", BODY, headers=KEY).json
    theirs = other.post("/applications", BODY, headers=KEY).json

    assert mine["applicationId"] != theirs["applicationId"]
    assert theirs["owner"] == "otto"


def test_a_refused_request_may_be_repeated_with_its_key(developer, factories, developer_user):
    taken = factories.application("Shop", owner=developer_user)
    assert developer.post("/applications", BODY, headers=KEY).status_code == 409
    db.session.delete(db.session.merge(taken))
    db.session.commit()

    assert developer.post("/applications", BODY, headers=KEY).status_code == 201


def test_after_a_day_the_key_is_forgotten(developer):
    developer.post("/applications", BODY, headers=KEY)
    db.session.query(IdempotentRequest).one().created_at -= timedelta(hours=24)
    db.session.commit()

    renewed = developer.post("/applications", BODY | {"name": "Later"}, headers=KEY)

    assert renewed.status_code == 201
    assert db.session.query(IdempotentRequest).count() == 1


def test_a_repeat_shows_a_new_key_again_but_stores_it_sealed(developer):
    place = developer.post("/applications", BODY).json["applicationId"]
    path = f"/applications/{place}/api-keys/PRODUCTION/generate"
    first = developer.post(path, headers=KEY)
    again = developer.post(path, headers=KEY)

    assert first.json["apikey"].startswith("amp_live_")
    assert again.json == first.json
    assert db.session.query(ApplicationKey).count() == 1
    row = db.session.query(IdempotentRequest).one()
    assert first.json["apikey"] not in f"{row.made_sealed} {row.answer_sealed}"


def test_a_repeat_after_the_provider_was_away_opens_the_same_subscriptions_page(
    developer, developer_user, engine, factories, on_sale
):
    body = {
        "applicationId": factories.application(owner=developer_user).uuid,
        "apiId": on_sale.api_uuid,
        "throttlingPolicy": "Bronze",
    }
    engine.provider.lose_answers = 1
    assert developer.post("/subscriptions", body, headers=KEY).status_code == 503

    again = developer.post("/subscriptions", body, headers=KEY)

    assert again.status_code == 201, again.json
    assert "redirectUrl" in again.json["redirectionParams"]
    assert db.session.query(Subscription).count() == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve"])
def test_a_key_that_cannot_be_kept_is_refused(developer, key):
    headers = {"Idempotency-Key": key.encode("utf-8").decode("latin-1")}
    answer = developer.post("/applications", BODY, headers=headers)
    assert answer.status_code == 400
    assert db.session.query(Application).count() == 0
