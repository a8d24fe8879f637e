"""The admin portal: set-up, plans, publishing of usage."""

from importlib import import_module

from flask import Blueprint, Flask

bp = Blueprint("admin", __name__, url_prefix="/admin")


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    import_module("portal.admin.views")
    app.register_blueprint(bp)
