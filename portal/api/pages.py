"""The OpenAPI document, and the pages about it."""

from functools import cache
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Flask, current_app, jsonify, render_template
from werkzeug.wrappers import Response

from portal.api import document
from portal.web.access import public

bp = Blueprint("api_pages", __name__, url_prefix="/api")


@bp.get("/openapi.json")
@public
def openapi() -> Response:
    """Return the document of the REST API."""
    response = jsonify(_document(current_app._get_current_object()))  # type: ignore[attr-defined] # noqa: SLF001
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


@bp.get("/docs")
@public
def docs() -> str:
    """Show the document with Swagger UI, where requests can be tried out."""
    return render_template("api/docs.html")


@cache
def _document(app: Flask) -> dict[str, Any]:
    base_url = app.extensions["portal_settings"].portal_base_url
    return document.write(app, base_url, version("api-monetization-portal"))


def register(app: Flask) -> None:
    """Add the pages to the app."""
    app.register_blueprint(bp)
