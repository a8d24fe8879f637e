"""Rotating keys without signing anybody out, and forgetting what is of no use any more."""

from datetime import timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from portal import clock
from portal.cli.oauth import oauth
from portal.extensions import db
from portal.models import OAuthCode, OAuthToken, SigningKey


def published(app):
    return app.test_client().get("/oauth2/jwks").json["keys"]


def signed(program, code):
    return program.exchange(code()).json["id_token"]


@pytest.fixture
def at(monkeypatch):
    """Move the clock on."""

    def move(**how_far):
        moment = clock.now() + timedelta(**how_far)
        monkeypatch.setattr(clock, "now", lambda: moment)

    return move


def run(app, command):
    result = app.test_cli_runner().invoke(oauth, [command])
    assert result.exit_code == 0, result.output
    db.session.rollback()
    return result.output


def test_a_rotated_key_signs_and_the_old_one_still_verifies(app, program, code, at):
    before = signed(program, code)
    old = {key["kid"] for key in published(app)}
    told = run(app, "rotate-keys")
    after = signed(program, code)

    keys = KeySet.import_key_set({"keys": published(app)})
    for token in (before, after):
        assert jwt.decode(token, keys, algorithms=["RS256"]).claims["sub"] == "dana@carbon.super"
    fresh = jwt.decode(after, keys, algorithms=["RS256"]).header["kid"]
    assert fresh not in old
    assert fresh in told

    at(days=2, seconds=1)
    assert [key["kid"] for key in published(app)] == [fresh]


@pytest.mark.all_databases
def test_what_is_of_no_use_is_forgotten_and_theft_is_still_noticed(app, program, code, at):
    used = code()
    issued = program.exchange(used).json
    code()
    renewed = program.refresh(issued["refresh_token"]).json
    run(app, "rotate-keys")

    at(days=3)
    assert run(app, "clean-up").startswith("2 expired")
    assert db.session.query(OAuthCode).one().used_at is not None
    assert db.session.query(SigningKey).count() == 1
    assert db.session.query(OAuthToken).count() == 2
    assert program.refresh(issued["refresh_token"]).json["error"] == "invalid_grant"
    assert program.refresh(renewed["refresh_token"]).json["error"] == "invalid_grant"

    at(days=30)
    assert run(app, "clean-up").startswith("3 expired")
    assert db.session.query(OAuthToken).count() == db.session.query(OAuthCode).count() == 0
    assert run(app, "clean-up").startswith("0 expired")
