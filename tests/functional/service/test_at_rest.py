"""Whoever reads the database reads no secret."""

import sqlalchemy as sa

from portal import clock
from portal.extensions import db
from portal.models import IdentityProvider, KeyType
from portal.services import applications, clients, signing, source_settings, system_apps
from portal.services.source_settings import Wanted
from tests.support.rest import token_of

CANARIES = ("sk_test_canary_0001", "whsec_canary_0002", "idp-canary-0003", "acct_canary0004")


def test_no_secret_can_be_read_in_the_database(app, factories):
    tenant = factories.tenant(key=CANARIES[0])
    tenant.webhook_secrets = [CANARIES[1]]
    ada = factories.user("ada", "admin")
    provider = IdentityProvider(
        tenant_id=tenant.tenant_id, issuer="https://idp.example", client_id="portal"
    )
    provider.client_secret = CANARIES[2]
    factories.save(provider)
    factories.api("Weather", account=CANARIES[3])
    source_settings.choose(
        tenant,
        Wanted(
            kind="elasticsearch",
            values={"analytics_host": "es.example.com", "analytics_password": "es-canary-0005"},
        ),
        (),
        since=clock.now(),
    )
    _, key = applications.generate_key(factories.application(owner=ada), KeyType.PRODUCTION)
    _, secret = clients.register(ada, clients.Wanted(name="one", grants=["client_credentials"]))
    app_secret = system_apps.register("one", "http://127.0.0.1:8000/x").consumer_secret
    pem = signing.make().private_key.splitlines()[1]
    token = token_of(ada)
    db.session.commit()
    stored = "\n".join(
        str(value)
        for table in db.Model.metadata.sorted_tables
        for row in db.session.execute(sa.select(table))
        for value in row
    )
    for canary in (*CANARIES, "es-canary-0005", key, secret, app_secret, pem, token, "open sesame"):
        assert canary not in stored
