"""The REST API, with WSO2's paths and field names."""

from importlib import import_module

from flask import Blueprint, Flask

from portal.extensions import csrf

bp = Blueprint("api", __name__, url_prefix="/api/am")
# Bearer tokens only, never a cookie: there is nothing to forge.
csrf.exempt(bp)


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    import_module("portal.api.views")
    app.register_blueprint(bp)
