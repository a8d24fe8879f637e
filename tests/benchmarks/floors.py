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
import sqlalchemy as sa
from flask import Flask, render_template, request
from jinja2 import DictLoader

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


_LAYOUT = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>{% block title %}{% endblock %}</title>
    <link rel="stylesheet" href="/static/portal.css">
  </head>
  <body>
    <header>
      <nav>
        <ul>
          {% for name in ("Set-up", "Plans", "Approvals", "Usage", "Events", "People") %}
            <li><a href="/{{ name }}">{{ name }}</a></li>
          {% endfor %}
        </ul>
      </nav>
    </header>
    <main>{% block content %}{% endblock %}</main>
    <footer><p>All times are UTC.</p></footer>
  </body>
</html>"""
_PAGE = """{% extends "layout.html" %}
{% block title %}Rows{% endblock %}
{% block content %}
  <h1>Rows</h1>
  <table class="table">
    <thead><tr><th>One</th><th>Two</th><th>Three</th><th>Four</th></tr></thead>
    <tbody>
      {% for row in rows %}
        <tr>
          <th scope="row">
            <div>
              <a href="{{ url_for('rows', id=row.inbox_id) }}">{{ row.type }}</a>
              <small>{{ row.event_id }}</small>
            </div>
          </th>
          <td data-label="Two">
            <div>
              <span class="badge">
                <svg class="icon" width="16" height="16" viewBox="0 0 24 24">
                  <use href="#dot"></use></svg>
                {{ row.outcome|capitalize }}
              </span>
              <small>{{ row.detail|truncate(90) }}</small>
            </div>
          </td>
          <td data-label="Three">
            {% if row.uuid %}<code>{{ row.uuid }}</code>{% else %}–{% endif %}
          </td>
          <td data-label="Four"><div>{{ row.received_at.strftime("%Y-%m-%d %H:%M UTC") }}</div></td>
        </tr>
      {% endfor %}
    </tbody>
  </table>
{% endblock %}"""
#: 50 rows of one table with one join, in the order of a page's.
_ROWS = """
SELECT e.inbox_id, e.type, e.event_id, e.outcome, e.detail, s.uuid, e.received_at
FROM am_stripe_event e LEFT JOIN am_subscription s ON s.subscription_id = e.am_subscription_id
ORDER BY e.inbox_id DESC LIMIT 50"""


def page() -> Flask:
    """Return an app of one page: SQLAlchemy Core, one query with one join, a template, a layout."""
    app = Flask("floor")
    app.jinja_loader = DictLoader({"layout.html": _LAYOUT, "page.html": _PAGE})
    engine = sa.create_engine(os.environ["FLOOR_DATABASE"], pool_size=10)

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.get("/rows")
    def rows() -> str:
        with engine.connect() as connection:
            found = connection.execute(sa.text(_ROWS)).all()
        return render_template("page.html", rows=found)

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
