"""Where APIs are called: checks the key, forwards, counts."""

from importlib import import_module

from flask import Blueprint, Flask

bp = Blueprint("gateway", __name__, url_prefix="/gateway")


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    import_module("portal.gateway.views")
    app.register_blueprint(bp)
