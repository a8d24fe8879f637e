"""The developer portal: catalogue, applications, subscriptions, payment."""

from importlib import import_module

from flask import Blueprint, Flask

bp = Blueprint("devportal", __name__, url_prefix="/devportal")


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    import_module("portal.devportal.views")
    app.register_blueprint(bp)
