"""How an error looks: a page for people, WSO2's JSON for the REST API, ``{"error"}`` elsewhere."""

from collections.abc import Mapping

import structlog
from flask import Flask, Response, g, jsonify, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, IntegrityError
from werkzeug.exceptions import HTTPException

from portal.errors import Invalid, InvalidSignature, NotAllowed, PortalError, TooManyTries
from portal.extensions import db, login_manager
from portal.web import rest_problems
from portal.web.access import wants_html
from portal.web.engines import settings

log = structlog.get_logger()

_REST = ("/api/am/admin/", "/api/am/publisher/", "/api/am/devportal/", "/api/am/usage/")


def init_app(app: Flask) -> None:
    """Turn every error into an answer that says what happened and never how."""
    app.register_error_handler(PortalError, _portal_error)
    app.register_error_handler(CSRFError, _csrf_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(Exception, _unexpected)


def answer(
    status: int,
    title: str,
    message: str,
    code: int = 900967,
    fields: Mapping[str, str] | None = None,
) -> Response:
    """Return an error in the shape that the caller of this address reads.

    :param fields: what is wrong, by field
    """
    if request.path.startswith(_REST):
        body = {
            "code": code,
            "message": title,
            "description": message,
            "moreInfo": rest_problems.address(settings().portal_base_url, status),
            "error": [{"code": field, "message": words} for field, words in (fields or {}).items()],
        }
        response = jsonify(body)
    elif request.path.startswith(("/api/", "/oauth2/", "/client-registration/")) and (
        not wants_html()
    ):
        response = jsonify({"error": message})
    else:
        page = render_template(
            "errors/error.html",
            code=status,
            title=title,
            sentence=message,
            reference=g.get("request_id") if status >= 500 else None,
        )
        response = make_response(page)
    response.status_code = status
    return response


def _portal_error(error: PortalError) -> Response:
    db.session.rollback()
    if error.status_code >= 500:
        log.warning("refused", error=type(error).__name__, message=error.message)
    elif isinstance(error, NotAllowed | InvalidSignature):
        log.warning("denied", error=type(error).__name__, path=request.path, method=request.method)
    fields = error.fields if isinstance(error, Invalid) else None
    response = answer(error.status_code, error.title, error.message, error.code, fields)
    if isinstance(error, TooManyTries):
        response.headers["Retry-After"] = str(error.seconds)
    return response


def _csrf_error(_error: CSRFError) -> Response:
    return answer(
        400, "The form has expired", "Go back, load the page again and repeat what you did."
    )


_SENTENCES = {
    400: ("The request is not right", "Check the address and what you sent."),
    401: ("Sign in first", "This address is for people or programs that have signed in."),
    403: ("You may not do this", "Ask your administrator if you should be able to."),
    404: (
        "Not found",
        "There is nothing at this address. Check it, or begin again at the start page.",
    ),
    405: ("Not possible here", "This address does not take this kind of request."),
    413: ("Too large", "Nothing was saved. Send at most 1 MB."),
    415: ("Not this format", "Send the format that the documentation names."),
    429: ("Too many tries", "Wait a minute and try again."),
}


def _http_error(error: HTTPException) -> Response:
    if error.response is not None and error.code is None:
        return make_response(error.response)
    status = error.code or 500
    if 300 <= status < 400:
        return make_response(error.get_response())
    title, message = _SENTENCES.get(status, ("Something went wrong", "Try again in a moment."))
    response = answer(status, title, message, status)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "WWW-Authenticate"):
            response.headers[name] = value
    return response


def _database_error(error: DBAPIError) -> Response:
    db.session.rollback()
    if isinstance(error, IntegrityError):
        log.warning("collision", error=type(error.orig).__name__, path=request.path)
        sentence = "Somebody else just did the same. Look at it again and repeat."
        return answer(409, "Not possible now", sentence)
    # Drawing the page would ask the database once more who this is.
    g._login_user = login_manager.anonymous_user()  # noqa: SLF001 - there is no other way
    log.error("database", error=type(error.orig).__name__, path=request.path)
    return answer(
        503, "The portal cannot reach its database", "Nothing was changed. Try again in a minute."
    )


def _unexpected(error: Exception) -> Response:
    db.session.rollback()
    log.exception("unexpected", path=request.path)
    return answer(
        500,
        "Something went wrong",
        "It is our fault, and it has been noted. Try again in a moment.",
    )
