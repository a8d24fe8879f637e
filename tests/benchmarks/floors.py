"""What the product is measured against: the same job with nothing around it.

Each is a Flask app of one route, served as the product is, with its database through psycopg.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import time
from typing import Any

import psycopg
from flask import Flask, request

SECRET = "whsec_benchmark_0123456789abcdef"
TABLES = """
CREATE TABLE floor_event (
    event_id varchar(255) PRIMARY KEY, type varchar(100) NOT NULL, payload text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE floor_subscription (
    subscription_id varchar(255) PRIMARY KEY, status varchar(30) NOT NULL,
    period_end bigint, at bigint NOT NULL DEFAULT 0);
"""
_own = threading.local()


def connect(url: str) -> psycopg.Connection[Any]:
    """Return this thread's connection."""
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(url)
    found: psycopg.Connection[Any] = _own.connection
    return found


def webhook() -> Flask:
    """Return an app that verifies an event, stores it once and applies it, in one transaction."""
    app = Flask("floor")
    url = os.environ["FLOOR_DATABASE"]
    secret = SECRET.encode()

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.post("/webhook")
    def receive() -> tuple[dict[str, bool], int]:
        raw = request.get_data()
        if not _is_genuine(secret, raw, request.headers.get("Stripe-Signature", "")):
            return {"received": False}, 400
        event = json.loads(raw)
        _store(connect(url), event, raw)
        return {"received": True}, 200

    return app


def _is_genuine(secret: bytes, raw: bytes, header: str) -> bool:
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    at, given = parts.get("t", "0"), parts.get("v1", "")
    expected = hmac.new(secret, at.encode() + b"." + raw, hashlib.sha256).hexdigest()
    return abs(time.time() - int(at)) <= 300 and hmac.compare_digest(expected, given)


def _store(connection: psycopg.Connection[Any], event: dict[str, Any], raw: bytes) -> None:
    body = event["data"]["object"]
    with connection.transaction():
        new = connection.execute(
            "INSERT INTO floor_event (event_id, type, payload) VALUES (%s, %s, %s) "
            "ON CONFLICT DO NOTHING RETURNING event_id",
            (event["id"], event["type"], raw.decode()),
        ).fetchone()
        if new is None:
            return
        held = connection.execute(
            "SELECT at FROM floor_subscription WHERE subscription_id = %s FOR UPDATE",
            (body["id"],),
        ).fetchone()
        if held is not None and held[0] < event["created"]:
            connection.execute(
                "UPDATE floor_subscription SET status = %s, period_end = %s, at = %s "
                "WHERE subscription_id = %s",
                (
                    body["status"],
                    body["items"]["data"][0]["current_period_end"],
                    event["created"],
                    body["id"],
                ),
            )
