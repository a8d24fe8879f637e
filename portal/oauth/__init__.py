"""The authorization server and client registration."""

from importlib import import_module

from flask import Blueprint, Flask

from portal.extensions import csrf

bp = Blueprint("oauth", __name__)
# Programs call with a client's secret, never with a cookie: there is nothing to forge.
csrf.exempt(bp)


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    import_module("portal.oauth.views")
    import_module("portal.oauth.server").init_app(app)
    app.register_blueprint(bp)
