"""The sandbox as a WSGI app.

Run it in one process with threads (gunicorn: ``--workers 1 --threads 8``): background work and
webhook delivery are threads of that process, held by a lock beside the database file.
"""

from __future__ import annotations

import atexit

from flask import Flask, Response, jsonify, request

from portal.sandbox import api, control_billing, control_faults, resources
from portal.sandbox.background import Background
from portal.sandbox.clock import Clock, RealClock
from portal.sandbox.control import control
from portal.sandbox.idempotency import InFlight
from portal.sandbox.limits import Limits
from portal.sandbox.pages import register
from portal.sandbox.requestlog import RequestLog
from portal.sandbox.service import Sandbox, current
from portal.sandbox.settings import SandboxSettings, from_environment
from portal.sandbox.severing import Severing
from portal.sandbox.store import Store
from portal.sandbox.webhooks import Courier, Transport

_METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]
_BODY_LIMIT = 1024 * 1024
_REGISTERED = (control_billing, control_faults, resources)


def create_sandbox(
    settings: SandboxSettings,
    *,
    clock: Clock | None = None,
    transport: Transport | None = None,
    background: bool = False,
) -> Flask:
    """Build the app; with `background` its threads run until the process ends.

    Without them due work and webhooks wait for ``POST /_sandbox/tick``.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _BODY_LIMIT
    app.secret_key = settings.admin_token
    sandbox = _assemble(settings, clock or RealClock(), transport)
    app.extensions["sandbox"] = sandbox
    _route_api(app)
    app.wsgi_app = Severing(app.wsgi_app)  # type: ignore[method-assign]
    app.register_blueprint(control)
    register(app)
    if background:
        threads = Background(sandbox)
        threads.start()
        app.extensions["sandbox-background"] = threads
        atexit.register(threads.stop)
    return app


def _assemble(settings: SandboxSettings, time: Clock, transport: Transport | None) -> Sandbox:
    store = Store(
        settings.database,
        base_url=settings.base_url,
        meter_lag=settings.meter_lag,
        strict=settings.strict,
        clock=time,
    )
    return Sandbox(
        settings,
        store,
        time,
        Courier(store, time, settings, transport),
        RequestLog(store),
        Limits(time, settings.rate_limit),
    )


def _route_api(app: Flask) -> None:
    in_flight = InFlight()

    def answer(path: str = "") -> Response:
        return api.handle(current(), in_flight, request)

    for version in ("v1", "v2"):
        app.add_url_rule(f"/{version}/", f"{version}-root", answer, methods=_METHODS)
        app.add_url_rule(f"/{version}/<path:path>", version, answer, methods=_METHODS)

    def alive() -> Response:
        return jsonify(status="ok")

    app.add_url_rule("/healthz", "alive", alive)


def create_sandbox_from_environment() -> Flask:
    """Build the app of a server such as gunicorn from SANDBOX_* variables, threads included."""
    return create_sandbox(from_environment(), background=True)
