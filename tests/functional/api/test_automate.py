"""The page "Automate it": what stands there is copied into a shell, and works."""

import json
import os
import subprocess
import threading

import pytest
from werkzeug.serving import make_server

from portal.extensions import db
from portal.models import OAuthClient
from tests.support.browser import Browser

PASSWORD = "open sesame"


@pytest.fixture
def portal(app):
    """The address of the running portal, which is also the one that it gives as its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    address = f"http://127.0.0.1:{server.port}"
    own = app.extensions["portal_settings"].model_copy(update={"portal_base_url": address})
    app.extensions["portal_settings"] = own
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def blocks(page):
    """Return what the Copy buttons copy, by step."""
    found = {}
    for button in page.soup.select("button[data-copy]"):
        code = page.soup.find(id=button["data-copy"])
        found[button["data-copy"].removeprefix("recipe-")] = code.get_text()
    return found


def run(*parts, **typed):
    """Run the steps in one shell, as somebody who pastes them and types what is asked for."""
    script = "set -eu\n" + "\n".join(parts)
    given = "".join(f"{line}\n" for line in typed.values())
    done = subprocess.run(
        ["bash", "-c", script],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bodies(said):
    """Return the JSON objects that were printed, one after the other."""
    found, rest = [], said[said.index("{") :]
    while rest:
        body, end = json.JSONDecoder().raw_decode(rest)
        found.append(body)
        rest = rest[end:].lstrip()
    return found


def test_the_administrators_recipe_publishes_usage(app, portal, browser, factories):
    factories.user("ada", "admin")
    browser.sign_in("ada").get("/admin/automate")
    steps = blocks(browser)
    assert list(steps) == ["who", "register", "token", "publish", "status"]
    for code in steps.values():
        assert PASSWORD not in code
        assert "localhost" not in code
    said = run(*steps.values(), password=PASSWORD)
    assert "The token works for an hour." in said
    started, status = bodies(said)
    assert started["status"] == "Request Accepted"
    assert status["state"] in ("RUNNING", "COMPLETED")


@pytest.mark.parametrize(
    ("role", "page", "last"),
    [("publisher", "/publisher/automate", "Weather"), ("subscriber", "/devportal/automate", "")],
)
def test_the_others_read_with_a_program_of_the_administrators(
    app, portal, browser, factories, role, page, last
):
    factories.user("ada", "admin")
    person = factories.user("o'hara", role)
    if role == "publisher":
        factories.api("Weather", provider=person)
    browser.sign_in("ada").get("/admin/automate")
    admins = blocks(browser)
    shown = 'printf "%s %s" "$CLIENT_ID" "$CLIENT_SECRET"'
    said = run(admins["who"], admins["register"], shown, password=PASSWORD)
    client_id, secret = said.splitlines()[-1].split()
    steps = blocks(Browser(app).sign_in("o'hara").get(page))
    said = run(*steps.values(), password=PASSWORD, client_id=client_id, secret=secret)
    [body] = bodies(said)
    assert body["count"] == len(body["list"])
    assert last in said


def test_a_name_cannot_break_out_of_the_recipe(app, factories, browser):
    factories.user("x'; touch broken; '", "admin")
    browser.sign_in("x'; touch broken; '").get("/admin/automate")
    line = blocks(browser)["who"].splitlines()[0]
    said = run(line, 'printf %s "$NAME"')
    assert said == "x'; touch broken; '"


def test_registering_makes_one_program(app, portal, browser, factories):
    factories.user("ada", "admin")
    browser.sign_in("ada").get("/admin/automate")
    steps = blocks(browser)
    run(steps["who"], steps["register"], password=PASSWORD)
    db.session.rollback()
    client = db.session.query(OAuthClient).one()
    assert client.grant_types == ["password", "refresh_token"]


def test_the_reference_names_the_document(app, browser):
    browser.get("/api/docs")
    assert browser.soup.select_one("#api")["data-document"] == "/api/openapi.json"
