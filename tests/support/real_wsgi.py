"""The portal as gunicorn serves it in tests: one app for each port, loaded before the fork.

Only code is loaded before the fork, so that a worker that was killed is replaced in an instant;
each worker opens its own apps, connections and engines. ``REAL_PORTALS`` holds the settings of
each port as JSON.
"""

import json
import os
import threading
from importlib import import_module
from typing import Any

import psycopg  # noqa: F401 - loaded before the fork
import pymysql  # noqa: F401

import portal.billing.stripe.engine  # noqa: F401
from portal import create_app
from portal.config import Settings
from portal.web import factory

for name in factory.BLUEPRINTS:
    import_module(f"portal.{name}")

_SETTINGS = json.loads(os.environ["REAL_PORTALS"])
_apps: dict[str, Any] = {}
_lock = threading.Lock()


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Answer with the app of the port that was asked."""
    port = str(environ["SERVER_PORT"])
    with _lock:
        if port not in _apps:
            _apps[port] = create_app(Settings(**_SETTINGS[port]))
    return _apps[port](environ, start_response)
