"""The authorization server and client registration."""

from importlib import import_module

from flask import Blueprint, Flask

bp = Blueprint("oauth", __name__)


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    import_module("portal.oauth.views")
    app.register_blueprint(bp)
