"""Where APIs are called: checks the key, forwards, counts."""

from importlib import import_module

from flask import Blueprint, Flask
from werkzeug.routing import BaseConverter

bp = Blueprint("gateway", __name__, url_prefix="/gateway")


class RestConverter(BaseConverter):
    """The rest of an address, slashes included, however many: the back end may mean them."""

    regex = r"[\s\S]*?"
    part_isolating = False


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    app.url_map.converters["rest"] = RestConverter
    import_module("portal.gateway.views")
    app.register_blueprint(bp)
    app.wsgi_app = import_module("portal.gateway.authorize").Fast(  # type: ignore[method-assign]
        app, app.wsgi_app
    )
