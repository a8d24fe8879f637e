"""The admin portal: set-up, plans, approvals, publishing of usage, events."""

from importlib import import_module

from flask import Blueprint, Flask

bp = Blueprint("admin", __name__, url_prefix="/admin")

VIEWS = (
    "views",
    "plans",
    "approvals",
    "usage",
    "source",
    "events",
    "mailbox",
    "drift",
    "identity",
    "people",
    "audit",
    "automate",
)


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    for name in VIEWS:
        import_module(f"portal.admin.{name}")
    app.register_blueprint(bp)
