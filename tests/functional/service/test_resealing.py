"""`flask secrets rotate`: afterwards the older key can go."""

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from portal.cli.secrets import secrets
from portal.extensions import db
from portal.models import Api, SystemApp, Tenant
from portal.services import resealing, signing, system_apps
from portal.vault import SecretUnreadable, vault

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def run(app):
    def run(*arguments):
        return app.test_cli_runner().invoke(secrets, arguments)

    yield run
    vault.configure([key.get_secret_value() for key in settings_keys(app)])


def settings_keys(app):
    return app.extensions["portal_settings"].encryption_keys


def fill(factories):
    """Store a secret of several kinds with the old key alone."""
    vault.configure([OLD])
    tenant = factories.tenant(key="sk_test_memory_rotate")
    factories.user("ada", "admin")
    api = factories.api("Weather", account="acct_publisher1")
    signing.make()
    system_apps.register(system_apps.STRIPE_SERVICE, "http://127.0.0.1:8000/x")
    db.session.commit()
    return tenant, api


def test_every_column_of_secrets_is_found():
    assert {sealed.name for sealed in resealing.columns()} >= {
        "am_tenant.platform_key_sealed",
        "am_tenant.webhook_secrets_sealed",
        "am_api.monetization_properties_sealed",
        "am_oauth_key.private_key_sealed",
        "am_system_apps.consumer_secret_sealed",
        "am_identity_provider.client_secret_sealed",
        "am_external_identity.id_token_sealed",
        "am_usage_source.analytics_password_sealed",
        "am_idempotent_request.answer_sealed",
    }


@pytest.mark.all_databases
def test_after_rotating_the_old_key_can_go(run, factories):
    _, api = fill(factories)
    before = (api.revision, api.updated_at)
    vault.configure([NEW, OLD])
    first = run("rotate")
    assert first.exit_code == 0, first.output
    assert "am_tenant.platform_key_sealed: 1 encrypted anew, 0 were already" in first.output
    assert "5 secrets are encrypted anew. Only the first key is needed" in first.output

    again = run("rotate")
    assert "0 secrets are encrypted anew" in again.output

    vault.configure([NEW])
    db.session.expire_all()
    assert db.session.query(Tenant).one().platform_key == "sk_test_memory_rotate"
    api = db.session.query(Api).one()
    assert api.monetization_properties == {"ConnectedAccountKey": "acct_publisher1"}
    assert (api.revision, api.updated_at) == before
    assert db.session.query(SystemApp).one().consumer_secret
    assert signing.newest().private_key.startswith("-----BEGIN")


def test_many_rows_take_several_transactions(run, factories, monkeypatch):
    monkeypatch.setattr(resealing, "SOME", 2)
    vault.configure([OLD])
    for number in range(5):
        factories.tenant(f"t{number}.example")
    vault.configure([NEW, OLD])
    assert "am_tenant.platform_key_sealed: 5 encrypted anew" in run("rotate").output
    vault.configure([NEW])
    for tenant in db.session.query(Tenant):
        assert tenant.platform_key


def test_stopped_half_way_it_is_repeated(run, factories, monkeypatch):
    fill(factories)
    vault.configure([NEW, OLD])
    sealed = next(s for s in resealing.columns() if s.name == "am_tenant.platform_key_sealed")
    resealing.reseal_some(sealed)
    db.session.commit()
    assert "4 secrets are encrypted anew" in run("rotate").output


def test_a_secret_that_no_key_opens_is_counted_and_the_others_are_done(run, factories):
    fill(factories)
    lost = Fernet(Fernet.generate_key()).encrypt(b"[]").decode()
    db.session.execute(sa.update(Tenant).values(webhook_secrets_sealed=lost))
    db.session.commit()
    vault.configure([NEW, OLD])
    result = run("rotate")
    assert result.exit_code == 1
    assert "1 secrets open with none of the keys" in result.output
    vault.configure([NEW])
    db.session.expire_all()
    tenant = db.session.query(Tenant).one()
    assert tenant.platform_key == "sk_test_memory_rotate"
    with pytest.raises(SecretUnreadable):
        _ = tenant.webhook_secrets


def test_a_new_key_is_one_that_the_settings_take(run):
    Fernet(run("new-key").output.strip())


def test_a_secret_does_not_open_in_another_tenants_row(app, factories):
    near, far = factories.tenant(), factories.tenant("other.example")
    far.platform_key_sealed = near.platform_key_sealed
    with pytest.raises(SecretUnreadable):
        _ = far.platform_key
