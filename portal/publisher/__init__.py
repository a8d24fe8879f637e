"""The publisher portal: APIs, monetization, subscribers."""

from importlib import import_module

from flask import Blueprint, Flask

bp = Blueprint("publisher", __name__, url_prefix="/publisher")


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    for name in ("views", "monetization", "plans", "subscriptions", "usage", "revenue", "automate"):
        import_module(f"portal.publisher.{name}")
    app.register_blueprint(bp)
