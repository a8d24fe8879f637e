"""A program that asks the authorization server, and the person at the browser."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from portal.extensions import db
from portal.models import IdentityProvider
from portal.services import clients
from tests.support import fake_provider
from tests.support.fake_provider import CLIENT, SECRET

VERIFIER = "a-verifier-that-is-long-enough-for-the-standard-0123456789"
CALLBACK = "https://client.example/cb"


def s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@dataclass
class Program:
    """A registered client, as its developer would write it."""

    app: Flask
    client_id: str
    secret: str | None

    def request(self, **changed: Any) -> str:
        """Return the address to which it sends the browser; None leaves a parameter out."""
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid profile apim:subscribe",
            "state": "the state",
            "nonce": "the nonce",
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
        } | changed
        from urllib.parse import urlencode

        kept = {name: value for name, value in parameters.items() if value is not None}
        return "/oauth2/authorize?" + urlencode(kept)

    def token(self, **form: Any):
        """Ask the token endpoint."""
        headers = basic(self.client_id, self.secret) if self.secret else {}
        if not self.secret:
            form["client_id"] = self.client_id
        kept = {name: value for name, value in form.items() if value is not None}
        return self.app.test_client().post("/oauth2/token", data=kept, headers=headers)

    def exchange(self, code: str, **changed: Any):
        """Exchange a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        } | changed
        return self.token(**form)

    def refresh(self, refresh_token: str, **more: Any):
        """Renew."""
        return self.token(grant_type="refresh_token", refresh_token=refresh_token, **more)


def sent_back(location: str) -> dict[str, str]:
    """Return what the browser carries to the client."""
    assert location.startswith(CALLBACK + "?"), location
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


@pytest.fixture
def register(app, factories):
    """Register a program of a tenant."""

    def make(*, tenant=None, name="A program", public=False, saas=False, grants=None) -> Program:
        owner = factories.user(None, "admin", tenant=tenant)
        wanted = clients.Wanted(
            name=name,
            grants=grants or ["authorization_code", "refresh_token"],
            redirect_uris=[CALLBACK],
            saas=saas,
            public=public,
        )
        client, secret = clients.register(owner, wanted)
        client_id = client.client_id
        db.session.commit()
        return Program(app, client_id, secret)

    return make


@pytest.fixture
def program(register) -> Program:
    return register()


@pytest.fixture
def dana(browser, factories):
    """Dana, who has signed in."""
    factories.user("dana", "subscriber")
    return browser.sign_in("dana")


@pytest.fixture
def code(dana, program):
    """Return a code for which Dana has agreed."""

    def agree(**changed: Any) -> str:
        dana.get(program.request(**changed))
        dana.submit("Allow", follow=False, expect=302)
        return sent_back(dana.location)["code"]

    return agree


@pytest.fixture
def provider():
    with fake_provider.running() as running:
        yield running


@pytest.fixture
def tenant(factories, provider):
    """carbon.super, whose people sign in at the provider as subscribers."""
    made = factories.tenant()
    row = IdentityProvider(
        tenant_id=made.tenant_id,
        issuer=provider.issuer,
        client_id=CLIENT,
        subject_claim="preferred_username",
        default_roles=["subscriber"],
        enabled=True,
    )
    row.client_secret = SECRET
    factories.save(row)
    return made
