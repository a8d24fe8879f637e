"""What a demo does in its database before anybody signs in: tables, example data, addresses."""

from pathlib import Path

from flask import Flask, url_for
from sqlalchemy import select

from portal import create_app
from portal.cli.demo import database, keeping
from portal.cli.demo.keeping import Kept
from portal.cli.demo.options import LOOPBACK, origin
from portal.cli.demo.sandbox import SandboxControl
from portal.cli.examples.data import SUPER
from portal.cli.examples.filling import Filler
from portal.config import Settings
from portal.extensions import db
from portal.models import Api, Tenant
from portal.web import own_sign_in
from portal.web.unit_of_work import unit_of_work


def prepare_database(settings: Settings) -> Flask:
    """Bring the tables up to date and return an app that works on them."""
    app = create_app(settings)
    with app.app_context():
        database.migrate()
        db.session.remove()
        db.engine.dispose()
    return app


def prepare_examples(
    app: Flask, kept: Kept, control: SandboxControl, inside: str, folder: Path
) -> str:
    """Make the example data unless it is there, and let it follow addresses that have changed.

    :param inside: the portal's origin on this machine, where the sandbox sends events: behind a
        proxy the public one may have a certificate that only browsers were told to trust
    :return: the super tenant's webhook secret
    """
    with app.test_request_context(base_url=app.extensions["portal_settings"].portal_base_url):
        if not kept.complete:
            kept.webhook_origin = inside
            Filler(kept, control, _backends(kept)[-1], lambda: keeping.save(folder, kept)).fill()
            kept.complete = True
            keeping.save(folder, kept)
        _follow_backend(*_backends(kept))
        own_sign_in.registered()
        if kept.webhook_origin != inside:
            _follow_portal(kept, control, inside)
            kept.webhook_origin = inside
            keeping.save(folder, kept)
        secret = _webhook_secret()
        db.session.remove()
        db.engine.dispose()
    return secret


def _backends(kept: Kept) -> list[str]:
    return [origin(LOOPBACK, port) for port in kept.backend_ports]


def _follow_backend(*origins: str) -> None:
    """Lead APIs of the back end to where it listens this time: the last of its origins."""
    with unit_of_work():
        for api in db.session.scalars(select(Api)):
            for old in origins[:-1]:
                if api.endpoint_url.startswith(f"{old}/"):
                    api.endpoint_url = origins[-1] + api.endpoint_url.removeprefix(old)


def _follow_portal(kept: Kept, control: SandboxControl, inside: str) -> None:
    """Lead the webhooks to where the portal listens this time."""
    for domain, platform in kept.platforms.items():
        tenant = db.session.scalars(select(Tenant).where(Tenant.tenant_domain == domain)).one()
        if tenant.webhook_endpoint_id:
            url = inside + url_for("stripe.webhook", tenantDomain=domain)
            control.move_webhook(platform, tenant.webhook_endpoint_id, url)


def _webhook_secret() -> str:
    tenant = db.session.scalars(
        select(Tenant).where(Tenant.tenant_domain == SUPER.domain)
    ).one_or_none()
    return tenant.webhook_secrets[0] if tenant and tenant.webhook_secrets else ""
