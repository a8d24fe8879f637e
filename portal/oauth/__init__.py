"""The authorization server and client registration."""

from importlib import import_module

from flask import Blueprint, Flask

from portal.extensions import csrf

bp = Blueprint("oauth", __name__)
# Programs call with a client's secret, never with a cookie: there is nothing to forge. The one
# form of a person, the consent, checks its token itself.
csrf.exempt(bp)


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    for name in ("views", "authorize", "registration"):
        import_module(f"portal.oauth.{name}")
    import_module("portal.oauth.server").init_app(app)
    app.register_blueprint(bp)
