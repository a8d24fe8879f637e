"""Who guesses passwords is slowed down, and cannot lock anybody else out of where they are."""

import base64
import threading
from collections import Counter
from datetime import timedelta

import pytest
import time_machine

from portal import clock
from portal.errors import TooManyTries
from portal.extensions import db
from portal.models import SignInGuard
from portal.services import accounts, sign_in_guard
from portal.web.unit_of_work import in_unit_of_work
from tests.support.browser import Browser

FAR = {"REMOTE_ADDR": "203.0.113.7"}
LOCKED = "Signing in failed too often."
WRONG = "The user name or the password is not right."


class At(Browser):
    """A browser at an address of its own."""

    def __init__(self, app, address="127.0.0.1"):
        super().__init__(app)
        self.client.environ_base["REMOTE_ADDR"] = address

    def tries(self, name, password="wrong", *, expect=401):
        self.get("/account/sign-in")
        form = {"username": name, "password": password}
        return self.submit("Sign in", form, follow=False, expect=expect)

    def leaves(self):
        self.get("/account/password").post("/account/sign-out")


@pytest.fixture
def dana(factories):
    return factories.user("dana", "subscriber")


def fail(browser, name="dana", times=5):
    for _ in range(times):
        browser.tries(name)
    return browser


def test_after_five_failures_the_right_password_does_not_help_for_a_while(app, dana):
    stranger = fail(At(app, "203.0.113.7"))
    stranger.tries("dana", "open sesame", expect=429)
    assert LOCKED in stranger.text
    assert "ask your administrator to unlock it" in stranger.text
    assert int(stranger.response.headers["Retry-After"]) <= 30
    with time_machine.travel(clock.now() + timedelta(seconds=31), tick=False):
        stranger.tries("dana", "open sesame", expect=303)


def test_each_lock_is_twice_as_long_up_to_a_quarter_of_an_hour(app, dana):
    stranger, waits = fail(At(app, "203.0.113.7"), times=4), []
    moment = clock.now()
    for _ in range(7):
        with time_machine.travel(moment, tick=False):
            stranger.tries("dana")
            stranger.tries("dana", expect=429)
            waits.append(int(stranger.response.headers["Retry-After"]))
            moment += timedelta(seconds=waits[-1] + 1)
    assert waits == [30, 60, 120, 240, 480, 900, 900]


def test_a_name_that_nobody_has_gets_the_same_words_and_the_same_locks(app, dana):
    said = []
    with time_machine.travel(clock.now(), tick=False):
        for name, address in (("dana", "203.0.113.7"), ("nobody", "203.0.113.8")):
            stranger = fail(At(app, address), name)
            said.append([stranger.text.replace(name, "")])
            stranger.tries(name, expect=429)
            said[-1].append(stranger.text.replace(name, ""))
    assert said[0] == said[1]
    assert WRONG in said[0][0]
    assert LOCKED in said[0][1]


def test_both_cost_one_hash_of_the_same_strength(app, dana, monkeypatch):
    seen = []
    monkeypatch.setattr(accounts, "_hasher", Spy(seen))
    dana.password_hash = accounts.hash_password("a new password")
    db.session.commit()
    for name in ("dana", "nobody", "dana@nowhere.example"):
        accounts.authenticate(name, "wrong")
    assert len(seen) == 3
    assert len({stored.rpartition("$")[0].rpartition("$")[0] for stored in seen}) == 1


class Spy:
    """Notes against what a password is checked."""

    def __init__(self, seen):
        self.seen, self._real = seen, accounts.PasswordHasher()

    def hash(self, password):
        return self._real.hash(password)

    def verify(self, stored, password):
        self.seen.append(stored)
        return self._real.verify(stored, password)


def test_strangers_do_not_lock_a_browser_that_was_here_before(app, dana):
    hers = At(app)
    hers.tries("dana", "open sesame", expect=303)
    hers.leaves()
    stranger = fail(At(app, "203.0.113.7"))
    stranger.tries("dana", expect=429)
    hers.tries("dana", "open sesame", expect=303)
    # Also from another network, because the browser is known; and there only with its cookie.
    hers.client.environ_base["REMOTE_ADDR"] = "198.51.100.1"
    hers.leaves()
    hers.tries("dana", "open sesame", expect=303)
    At(app, "198.51.100.2").tries("dana", "open sesame", expect=429)


def test_a_known_place_is_slowed_down_too(app, dana):
    hers = At(app)
    hers.tries("dana", "open sesame", expect=303)
    hers.leaves()
    fail(hers, times=10).tries("dana", "open sesame", expect=429)
    At(app, "203.0.113.7").tries("dana", "open sesame", expect=303)


def test_one_address_that_tries_many_names_is_locked(app, dana):
    stranger = At(app, "203.0.113.7")
    for number in range(20):
        stranger.tries(f"name{number}")
    stranger.tries("dana", "open sesame", expect=429)
    At(app, "203.0.113.9").tries("dana", "open sesame", expect=303)


def test_an_address_inside_a_network_may_be_everybodys(app, dana):
    """A proxy that the portal does not know of: one guesser must not lock all others out."""
    for number in range(30):
        At(app, "10.0.0.9").tries(f"name{number}")
    At(app, "10.0.0.9").tries("dana", "open sesame", expect=303)


def test_a_network_of_ipv6_is_one_address(app, dana):
    for number in range(20):
        At(app, f"2001:db8::{number + 1:x}").tries(f"name{number}")
    At(app, "2001:db8::ffff:1").tries("dana", "open sesame", expect=429)
    At(app, "2001:db8:0:1::1").tries("dana", "open sesame", expect=303)


def test_signing_in_takes_failures_back(app, dana):
    hers = At(app, "203.0.113.7")
    for _ in range(3):
        fail(hers, times=4)
        hers.tries("dana", "open sesame", expect=303)
        hers.leaves()


def test_an_administrator_unlocks(app, dana, factories):
    factories.user("ada", "admin")
    fail(At(app, "203.0.113.7")).tries("dana", "open sesame", expect=429)
    admin = At(app)
    admin.tries("ada", "open sesame", expect=303)
    admin.get(f"/admin/people/{dana.uuid}")
    assert "Signing in is locked" in admin.text
    admin.submit("Unlock")
    assert "can sign in again" in admin.text
    assert "Signing in is locked" not in admin.text
    At(app, "203.0.113.7").tries("dana", "open sesame", expect=303)


def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_programs_that_send_a_password_are_counted_alike(app, factories):
    factories.user("ada", "admin")
    client = app.test_client()
    client.environ_base.update(FAR)
    body = {"clientName": "one", "grantType": "password refresh_token"}

    def register(password):
        headers = {"Authorization": basic("ada", password)}
        return client.post("/client-registration/v0.17/register", json=body, headers=headers)

    made = register("open sesame").json
    sign_in_guard.forget_places(db.session.query(sign_in_guard.User).one())
    db.session.commit()
    secret = {"Authorization": basic(made["clientId"], made["clientSecret"])}

    def token(password):
        form = {"grant_type": "password", "username": "ada", "password": password}
        return client.post("/oauth2/token", data=form, headers=secret)

    assert [register("wrong").status_code for _ in range(2)] == [401, 401]
    assert [token("wrong").status_code for _ in range(3)] == [400, 400, 400]
    for answer in (register("open sesame"), token("open sesame")):
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 30
        assert LOCKED in answer.get_data(as_text=True)
    assert token("open sesame").json["error"] == "invalid_grant"


@pytest.mark.all_databases
def test_many_tries_at_once_are_many(app, factories):
    """Each is counted before its password is looked at, so none of them finds the count too low."""
    factories.user("dana", "subscriber")
    seen = []

    def guess(number):
        place = sign_in_guard.Place(address=f"203.0.113.{number % 3}")
        with app.app_context():
            try:
                in_unit_of_work(lambda: sign_in_guard.count("dana", place))
                seen.append("looked at")
            except TooManyTries:
                seen.append("refused")
            finally:
                db.session.remove()

    guesses = [threading.Thread(target=guess, args=(number,)) for number in range(16)]
    for each in guesses:
        each.start()
    for each in guesses:
        each.join()
    assert Counter(seen) == {"looked at": 5, "refused": 11}


@pytest.mark.all_databases
def test_counting_and_forgetting_work_on_every_database(app, factories):
    dana = factories.user("dana", "subscriber")
    place = sign_in_guard.Place(address="203.0.113.7", device="x" * 22)
    for _ in range(5):
        counted = sign_in_guard.count("Dana", place)
    db.session.commit()
    assert sign_in_guard.locked_until(dana) > clock.now()
    sign_in_guard.succeeded("dana", place, counted)
    db.session.commit()
    assert sign_in_guard.locked_until(dana) is None
    assert [item.limit for item in sign_in_guard.count("dana", place)] == [
        sign_in_guard.KNOWN_PLACE
    ]
    db.session.commit()
    with time_machine.travel(clock.now() + timedelta(days=31), tick=False):
        while sign_in_guard.forget_some():
            db.session.commit()
    assert db.session.query(SignInGuard).filter(SignInGuard.failed_at.is_not(None)).count() == 0


def test_neither_names_nor_addresses_can_be_read_in_the_table(app, dana):
    fail(At(app, "203.0.113.7"))
    for row in db.session.query(SignInGuard):
        assert len(row.guard_key) == 64
        assert "dana" not in row.guard_key
