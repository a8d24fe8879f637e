"""Admin > Identity provider: switching it on, and what cannot be."""

import pytest

from portal.extensions import db
from portal.models import IdentityProvider
from tests.support.fake_provider import CLIENT, SECRET


def entered(provider, **changed):
    return {
        "issuer": provider.issuer,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "subject_claim": "preferred_username",
        "default_roles": ["subscriber"],
        "role_mapping": "api-team = publisher, subscriber",
        "enabled": "y",
    } | changed


@pytest.fixture
def admin(browser, factories):
    factories.user("ada", "admin")
    return browser.sign_in("ada").get("/admin/identity-provider")


def test_an_administrator_switches_it_on_and_the_secret_is_never_shown(admin, provider):
    admin.submit("Save", entered(provider))
    assert "sign in there from now on" in admin.text
    assert SECRET not in str(admin.soup)
    row = db.session.query(IdentityProvider).one()
    assert (row.client_secret, row.role_mapping) == (
        SECRET,
        {"api-team": ["publisher", "subscriber"]},
    )
    assert SECRET not in (row.client_secret_sealed or "")
    admin.submit("Save", {"client_secret": ""})
    db.session.expire_all()
    assert db.session.query(IdentityProvider).one().client_secret == SECRET
    admin.submit("Check the provider")
    assert "It works." in admin.text


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"issuer": "https://other.example"}, "It calls itself https://other.example."),
        ({"token_endpoint": "http://10.0.0.1/token"}, "Its token_endpoint cannot be used"),
        ({"jwks_uri": "file:///etc/passwd"}, "Its jwks_uri cannot be used"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint cannot"),
        ({"jwks_uri": "http://127.0.0.1:9/keys"}, "127.0.0.1:9 does not answer."),
    ],
    ids=str,
)
def test_a_provider_that_does_not_work_is_not_switched_on(admin, provider, metadata, sentence):
    provider.metadata = metadata
    admin.submit("Save", entered(provider), expect=422)
    assert sentence in admin.text
    assert db.session.query(IdentityProvider).count() == 0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"issuer": "http://login.example.com"}, "must begin with https://"),
        ({"issuer": "https://169.254.169.254/"}, "private network"),
        ({"client_id": ""}, "Enter the client ID"),
        ({"role_mapping": "api-team"}, "value = role, role"),
        ({"subject_claim": "a b"}, "the name of one claim"),
        ({"default_roles": ["root"]}, "Choose among the roles"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_at_its_field(admin, provider, wrong, sentence):
    admin.submit("Save", entered(provider, **wrong), expect=422)
    assert sentence in admin.text
    assert db.session.query(IdentityProvider).count() == 0
