"""What pages with a list are measured against: the same list on a bare page.

One Flask app. Each page has the cells, links, buttons and badges that the portal's has, and about
as many bytes: one query through SQLAlchemy Core, one template without macros, one layout. It knows
nobody, has no rules, and counts nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa
from flask import Flask, render_template

WORDS = (
    ("Set-up", "checklist"), ("Configuration", "settings"), ("Plans", "receipt-2"),
    ("Approvals", "check"), ("Usage", "cloud-upload"), ("Events", "webhook"), ("Mail", "send"),
    ("People", "users"), ("Drift", "replace"), ("Audit log", "history"), ("Automate it", "code"),
)  # fmt: skip
#: As long as the token of a form.
TOKEN = "IjVjMjA1NjU4MzMxOGM3ZTJjYTNiNTY1OTI5NjE5NmNmOTZjMjM4ZDci.awhjPw.B-up4b8y53HohJ4cPJTKhxu"
#: Pages by the portal's addresses of the same lists.
PAGES = {"events": "/admin/events", "approvals": "/admin/approvals", "catalogue": "/devportal/"}
#: Each in the order of the portal's page.
QUERIES = {
    "events": """
        SELECT event_id, type, outcome, detail, status_before, status_after, received_at, deliveries
        FROM am_stripe_event WHERE tenant_id = 1 ORDER BY inbox_id DESC LIMIT 50""",
    "approvals": """
        SELECT s.uuid, s.created_at, s.billing, a.name AS application, u.display_name AS owner,
               i.api_name, i.api_version, p.display_name AS plan,
               v.fixed_rate, v.currency, v.billing_cycle
        FROM am_subscription s
        JOIN am_application a ON a.application_id = s.application_id
        JOIN am_user u ON u.user_id = a.owner_id
        JOIN am_api i ON i.api_id = s.api_id
        JOIN am_policy_version v ON v.policy_version_id = s.policy_version_id
        JOIN am_policy_subscription p ON p.policy_id = v.policy_id
        WHERE s.tenant_id = 1 AND s.approval = 'PENDING' AND s.ended_at IS NULL
        ORDER BY s.subscription_id LIMIT 50""",
    "catalogue": """
        SELECT i.api_uuid, i.api_name, i.api_version, i.description, u.display_name,
               v.fixed_rate, v.currency, v.billing_cycle
        FROM am_api i
        JOIN am_user u ON u.user_id = i.provider_id
        JOIN am_api_policy ap ON ap.api_id = i.api_id
        JOIN am_policy_version v ON v.policy_id = ap.policy_id
        WHERE i.tenant_id = 1 AND i.status = 'PUBLISHED'
        ORDER BY i.api_name, i.api_version LIMIT 12""",
}


def page() -> Flask:
    """Return the app."""
    app = Flask("floor", template_folder=str(Path(__file__).parent / "floor_templates"))
    engine = sa.create_engine(os.environ["FLOOR_DATABASE"], pool_size=10)

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    def add(name: str, query: sa.TextClause) -> None:
        def show() -> str:
            with engine.connect() as connection:
                rows = connection.execute(query).all()
            return render_template(f"{name}.html", rows=rows, words=WORDS, token=TOKEN)

        app.add_url_rule(PAGES[name], name, show)

    for name, text in QUERIES.items():
        add(name, sa.text(text))
    return app
