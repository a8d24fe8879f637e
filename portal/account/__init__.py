"""Signing in and out, and the front page."""

from importlib import import_module

from flask import Blueprint, Flask

bp = Blueprint("account", __name__)


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    import_module("portal.account.views")
    for name in ("outside", "own_password"):
        import_module(f"portal.account.{name}")
    import_module("portal.account.operations").init_app(app)
    app.register_blueprint(bp)
