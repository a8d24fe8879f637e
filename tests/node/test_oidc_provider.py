"""The portal signs people in at npm's oidc-provider, which nobody here wrote."""

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from bs4 import BeautifulSoup

from portal.extensions import db
from portal.models import User
from tests.sandbox.outside.conftest import CACHE, alone, install
from tests.sandbox.process import free_port

PACKAGE = "oidc-provider@9.13.3"
SCRIPT = Path(__file__).with_name("provider.mjs")
CLIENT, SECRET = "portal", "a secret that is only for tests"
HOME = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def oidc_provider() -> Path:
    """The folder with the package."""
    folder = CACHE / "oidc-provider"
    with alone("oidc-provider"):
        if not (folder / "node_modules" / "oidc-provider").exists():
            folder.mkdir(exist_ok=True)
            npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
            install(PACKAGE, [*npm, "--prefix", str(folder), PACKAGE])
    return folder


@pytest.fixture
def issuer(oidc_provider):
    """A running provider that knows the portal."""
    port = free_port()
    asked = {
        "port": port,
        "id": CLIENT,
        "secret": SECRET,
        "callback": f"{HOME}/account/sign-in/carbon.super/callback",
        "home": f"{HOME}/",
    }
    process = subprocess.Popen(
        ["node", str(SCRIPT), json.dumps(asked)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CLIENTS": str(oidc_provider)},
    )
    line = process.stdout.readline()
    while line and "ready" not in line:
        line = process.stdout.readline()
    assert "ready" in line, process.stderr.read()
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=30)


def walk(session, address, **filled):
    """Follow the provider's pages, pressing the button of each, until it leads to the portal."""
    answer = session.get(address, allow_redirects=False, timeout=30)
    for _ in range(12):
        if answer.is_redirect:
            target = urljoin(answer.url, answer.headers["Location"])
            if target.startswith(HOME):
                return target.removeprefix(HOME)
            answer = session.get(target, allow_redirects=False, timeout=30)
            continue
        form = BeautifulSoup(answer.text, "html.parser").form
        fields = {item["name"]: item.get("value", "") for item in form.select("[name]")}
        fields |= {name: value for name, value in filled.items() if name in fields}
        target = urljoin(answer.url, form["action"])
        answer = session.post(target, fields, allow_redirects=False, timeout=30)
    raise AssertionError(answer.text)


def test_people_sign_in_and_out_there(issuer, browser, factories):
    factories.user("ada", "admin")
    browser.sign_in("ada").get("/admin/identity-provider")
    settings = {
        "issuer": issuer,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "subject_claim": "preferred_username",
        "roles_claim": "groups",
        "role_mapping": "api-team = publisher",
        "enabled": "y",
    }
    browser.submit("Save", settings)
    browser.submit("Check the provider")
    assert "signing out there" in browser.text
    browser.submit("Sign out")

    there = requests.Session()
    browser.get("/publisher/")
    host = urlsplit(issuer).netloc
    browser.get(browser.link(f"Sign in at {host}"), follow=False, expect=303)
    back = walk(there, browser.location, login="user-1", password="any")
    browser.get(back, follow=False, expect=303)

    assert browser.location == "/publisher/"
    browser.get("/publisher/")
    jane = db.session.query(User).filter_by(username="jane").one()
    assert (jane.display_name, jane.email) == ("Jane Doe", "jane@example.com")
    assert jane.roles == {"Internal/everyone", "publisher"}

    browser.submit("Sign out")
    end = walk(there, browser.link("Sign out there, too"), logout="yes")
    assert urlsplit(end).path == "/"
    browser.get("/publisher/", follow=False, expect=303)
