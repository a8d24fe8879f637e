"""The Stripe service: payment pages, return from them, and the webhook."""

from importlib import import_module

from flask import Blueprint, Flask

bp = Blueprint("stripe", __name__, url_prefix="/api/am/stripe")


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    import_module("portal.stripe.views")
    import_module("portal.stripe.identity")
    app.register_blueprint(bp)
    app.wsgi_app = import_module("portal.stripe.fast").Fast(  # type: ignore[method-assign]
        app, app.wsgi_app
    )
