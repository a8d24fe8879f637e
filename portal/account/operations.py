"""What a monitoring system asks: alive, ready, and how much of what."""

import hmac
import ipaddress
import os
import time

from flask import Flask, Response, abort, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    generate_latest,
    multiprocess,
)
from sqlalchemy import text

from portal.account import bp
from portal.extensions import db
from portal.web import metrics
from portal.web.access import public
from portal.web.engines import settings


def init_app(app: Flask) -> None:
    """Count and time every request, by endpoint: addresses hold ids, endpoints do not."""
    app.before_request(_start)
    app.after_request(_count)


def _start() -> None:
    g.started = time.perf_counter()


def _count(response: Response) -> Response:
    seconds = time.perf_counter() - g.started if "started" in g else None
    metrics.count(request.endpoint or "none", request.method, response.status_code, seconds)
    return response


@bp.get("/healthz")
@public
def healthz() -> dict[str, str]:
    """Say that the process is alive; asks nobody."""
    return {"status": "ok"}


@bp.get("/readyz")
@public
def readyz() -> tuple[dict[str, str], int]:
    """Say whether the portal can work: the database answers."""
    db.session.execute(text("SELECT 1"))
    return {"status": "ready", "database": "ok"}, 200


@bp.get("/metrics", endpoint="metrics")
@public
def read_metrics() -> Response:
    """Return the counts for Prometheus, to this machine or to whoever shows the token.

    With several workers, ``PROMETHEUS_MULTIPROC_DIR`` names the folder where they add up.
    """
    if not _may_read_metrics():
        abort(404)
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _may_read_metrics() -> bool:
    token = settings().metrics_token
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token is not None:
        expected = token.get_secret_value().encode()
        return hmac.compare_digest(given.encode("utf-8", "replace"), expected)
    return ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback  # noqa: S104
