"""The log: one JSON object a line, with the request it belongs to and without anything secret.

An error is written as its type and the place in the portal where it came up. Messages, source
lines and local variables stay out: they may hold keys, tokens or people's data.
"""

import logging
import sys
import traceback
import uuid
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog
from flask import Flask, g

Entry = MutableMapping[str, Any]
PACKAGE = Path(__file__).resolve().parents[1]


def init_app(app: Flask) -> None:
    """Write the log to stderr, and give every request an id that stands in each of its lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            place_of_error,
            structlog.processors.JSONRenderer(default=_say_type),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Looked up anew for each line, so that a test or a service manager may redirect stderr.
        logger_factory=lambda *_args: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # The SDK writes bodies of answers at DEBUG, among them signing secrets.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    app.before_request(_begin)


def _begin() -> None:
    g.request_id = uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request=g.request_id)


def place_of_error(_logger: Any, _method: str, entry: Entry) -> Entry:
    """Replace an exception by its type and where in the portal it came up."""
    info = entry.pop("exc_info", None)
    if not info:
        return entry
    error = info if isinstance(info, BaseException) else sys.exc_info()[1]
    if error is not None:
        entry["error"] = type(error).__name__
        entry["place"] = _place(error)
    return entry


def _place(error: BaseException) -> str:
    """Return the innermost place inside the portal: ``flows/payments.py:120 open_page``."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(PACKAGE):
            return f"{path.relative_to(PACKAGE)}:{frame.lineno} {frame.name}"
    return "outside the portal"


def _say_type(value: object) -> str:
    return f"<{type(value).__name__}>"
