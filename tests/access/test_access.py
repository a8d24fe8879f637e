"""Every route, called as every actor, in its own tenant and from another.

The expectation is the hand-written table, not the code: see ``table.py``. What is refused must
change nothing in the database; what is admitted must get past every check of who calls, whatever
else is wrong with it.
"""

import pytest
from flask import Flask

from tests.access import matrix
from tests.access.requests import content_of, how, path_of
from tests.access.table import (
    ACTORS,
    ADMITTED,
    CLIENT,
    FORBIDDEN,
    MISSING,
    NO_PROOF,
    PROFILES,
    SIGN_IN,
    lines,
)

SAFE = ("GET", "HEAD", "OPTIONS")
#: Books are copied when they are looked at, calls, forged events and tries of a password are
#: counted, and opening the payment page makes one at the engine.
WRITES = (
    "/gateway/",
    "/api/am/stripe/webhook",
    "/api/am/stripe/checkout-url",
    "/devportal/invoices",
    "/publisher/revenue",
    "/api/am/publisher/v4/apis/<uuid:api_id>/revenue",
    "/client-registration/",
    "/oauth2/register",
    "/api/identity/oauth2/dcr/",
)


def routes(app):
    """Return "METHOD rule" of every route with its declared rule; the gateway's methods are one."""
    found = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        declared = getattr(app.view_functions[rule.endpoint], "access", "none")
        if declared == "key":
            found[f"* {rule.rule}"] = declared
            continue
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            found[f"{method} {rule.rule}"] = declared
    return found


def test_every_route_stands_in_the_table_once(world):
    known = routes(world.app)
    assert sorted(set(known) - set(lines())) == [], "add them to tests/access/routes.py"
    assert sorted(set(lines()) - set(known)) == [], "there are no such routes any more"


def test_every_route_declares_the_rule_that_the_table_expects(world):
    wrong, known = {}, routes(world.app)
    for line, profile in lines().items():
        declared, rule = known.get(line, ""), PROFILES[profile].rule
        fits = declared.startswith(rule[:-1]) if rule.endswith("*") else declared == rule
        if not fits:
            wrong[line] = declared
    assert wrong == {}


def test_every_profile_says_something_about_every_actor():
    for name, profile in PROFILES.items():
        assert len(profile.cells.replace(" ", "")) == len(ACTORS), name


def seen(response):
    """Return the letter of an answer."""
    status, location = response.status_code, response.headers.get("Location", "")
    if status == 303 and ("/account/sign-in" in location or "/oauth2/authorize" in location):
        return SIGN_IN
    letters = {401: NO_PROOF, 403: FORBIDDEN, 404: MISSING}
    return letters.get(status, "!" if status >= 500 and status not in (502, 503) else ADMITTED)


def fits(expected, response):
    if expected == CLIENT:
        return response.status_code in (400, 401)
    return seen(response) == expected


@pytest.mark.parametrize("line", lines())
def test_a_route_admits_whom_it_should_and_refuses_the_others(world, line):
    method, _, rule = line.partition(" ")
    method = "GET" if method == "*" else method
    profile = PROFILES[lines()[line]]
    proof = how(rule, profile.rule)
    path = path_of(world, line)
    wrong = []
    for actor in ACTORS:
        expected = profile.outcome(actor)
        with world.undone():
            before = world.changes()
            response = world.call(actor, method, path, proof, **content_of(world, line))
            response.close()
            if not fits(expected, response):
                wrong.append(f"{actor}: {expected} expected, {response.status_code} seen")
            harmless = expected != ADMITTED or method in SAFE
            if harmless and world.changes() != before and not rule.startswith(WRITES):
                wrong.append(f"{actor}: it wrote to the database")
    assert not wrong, f"{line}\n  " + "\n  ".join(wrong)


def test_a_route_that_nobody_wrote_into_the_table_is_noticed():
    app = Flask("new")
    app.add_url_rule("/admin/new-page", view_func=lambda: "")
    assert set(routes(app)) - set(lines()) == {"GET /admin/new-page"}


FORMS = [
    line
    for line, profile in lines().items()
    if line.startswith("POST ")
    and PROFILES[profile].rule.startswith(("role:", "signed_in", "admin_or_basic"))
]


@pytest.mark.parametrize("line", FORMS)
def test_a_form_of_another_site_is_refused(world, line):
    """The browser sends the cookie, but the other site cannot know the form's token."""
    profile, path = PROFILES[lines()[line]], path_of(world, line)
    actor = next(name for name in ACTORS if profile.outcome(name) == ADMITTED)
    cookie = {"Cookie": world.cookies[actor]}
    before = world.changes()
    client = world.app.test_client(use_cookies=False)
    answer = client.post(path, headers=cookie, **content_of(world, line))
    assert answer.status_code == 400, (actor, answer.status_code)
    assert world.changes() == before


def test_the_document_says_what_the_table_says():
    assert matrix.PAGE.read_text() == matrix.page(), "run python -m tests.access.matrix"
