"""The webhook before Flask: ordinary events are taken here, all others are handed on.

Flask's own work for a request is as much as all that an ordinary event needs. Nothing is decided
here that is not decided in the long way; see ``portal.services.short_way``.
"""

import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from flask import Flask
from sqlalchemy import Engine, bindparam, select

from portal.billing.engine import BillingEngine, BillingEvent
from portal.crashpoints import crashpoint
from portal.errors import InvalidSignature, PortalError
from portal.extensions import db
from portal.models import SUPER_TENANT, Tenant
from portal.services import short_way
from portal.services.short_way import Sealed
from portal.vault import SecretUnreadable
from portal.web import changes, metrics, queue
from portal.web.quick import Quick, errors_of, quick

ENDPOINT = "stripe.webhook"
PATH = "/api/am/stripe/webhook"
LONGEST = 1024 * 1024
_BODY = b'{"received":true}\n'
_HEAD = [
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(_BODY))),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]

_TENANT = Tenant.__table__
_SECRETS = select(
    _TENANT.c.tenant_id, _TENANT.c.platform_key_sealed, _TENANT.c.webhook_secrets_sealed
).where(_TENANT.c.tenant_domain == bindparam("domain"))


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A tenant's secrets, opened, and the row's content that they were opened from."""

    sealed: Sealed
    secrets: list[str]
    engine: BillingEngine
    is_live: bool


class Fast:
    """Takes ordinary events before Flask does; everything else goes on to Flask."""

    def __init__(self, app: Flask, wsgi: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._wsgi = wsgi
        self._opened: dict[str, _Opened] = {}
        with app.app_context():
            self._database: Engine = db.engine
        #: What the long way answers in its own words.
        self._no: tuple[type[Exception], ...] = (
            PortalError,
            SecretUnreadable,
            *errors_of(self._database),
        )

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if environ.get("PATH_INFO") != PATH or environ.get("REQUEST_METHOD") != "POST":
            return self._wsgi(environ, start)
        length = _length(environ)
        if length is None:
            return self._wsgi(environ, start)
        began = time.perf_counter()
        raw = environ["wsgi.input"].read(length)
        if len(raw) == length and self._took(environ, raw):
            metrics.count(ENDPOINT, "POST", 200, time.perf_counter() - began)
            start("200 OK", list(_HEAD))
            return [_BODY]
        environ["wsgi.input"] = io.BytesIO(raw)
        return self._wsgi(environ, start)

    def _took(self, environ: dict[str, Any], raw: bytes) -> bool:
        """Give the event its effect, if it is an ordinary one."""
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        domain = query.get("tenantDomain", [""])[0] or SUPER_TENANT
        try:
            opened = self._opened.get(domain) or self._open(domain)
            if opened is None:
                return False
            header = environ.get("HTTP_STRIPE_SIGNATURE", "")
            event = opened.engine.verify_event(raw, header, opened.secrets)
            with quick(self._database) as run:
                return self._applied(run, domain, opened, event, raw)
        except InvalidSignature:
            # It may be signed with a secret that was entered since these were opened.
            self._opened.pop(domain, None)
            return False
        except self._no:
            return False

    def _applied(
        self, run: Quick, domain: str, opened: _Opened, event: BillingEvent, raw: bytes
    ) -> bool:
        known = short_way.read(run, domain, event)
        if known is None or known.sealed != opened.sealed:
            # Another key or secret was entered: what was verified with may be valid no more.
            self._opened.pop(domain, None)
            return False
        crashpoint("event verified")
        if known.is_repeat:
            return run.kept(lambda: short_way.count_again(run, known))
        step = short_way.step_of(known, event, is_live=opened.is_live)
        if step is None:
            return False
        if not run.kept(lambda: short_way.write(run, known, event, raw, step)):
            return False
        if step.lines:
            changes.tell_gateway()
        if step.refresh:
            self._enqueue("wake")
        if known.closes_with(step):
            self._enqueue("flush", known.row.subscription_id)
        return True

    def _enqueue(self, name: str, *arguments: Any) -> None:
        with self._app.app_context():
            queue.enqueue(name, *arguments)

    def _open(self, domain: str) -> _Opened | None:
        with quick(self._database) as run:
            row = run.one(_SECRETS, {"domain": domain})
        if row is None:
            return None
        tenant = Tenant(tenant_domain=domain, **row._asdict())
        opened = _Opened(
            sealed=Sealed(
                platform_key=row.platform_key_sealed, webhook_secrets=row.webhook_secrets_sealed
            ),
            secrets=tenant.webhook_secrets,
            engine=self._app.extensions["portal_engines"].for_tenant(tenant),
            is_live=tenant.is_live,
        )
        self._opened[domain] = opened
        return opened


def _length(environ: dict[str, Any]) -> int | None:
    """Return how long the body is, if it is said and not too long."""
    said = environ.get("CONTENT_LENGTH") or ""
    return int(said) if said.isdecimal() and int(said) <= LONGEST else None
