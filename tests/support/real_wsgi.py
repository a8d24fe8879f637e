"""The portal as gunicorn serves it in tests: one app for each port, made before the fork.

A worker that was killed is replaced in an instant: what costs time, loading code, making the apps
and configuring the mappers, is done before. Each worker opens its own connections and engines.
``REAL_PORTALS`` holds the settings of each port as JSON.
"""

import json
import os
from importlib import import_module
from typing import Any

import psycopg  # noqa: F401 - loaded before the fork
import pymysql  # noqa: F401
from sqlalchemy.orm import configure_mappers

import portal.billing.stripe.engine  # noqa: F401
from portal import create_app
from portal.config import Settings
from portal.web import factory

for name in factory.BLUEPRINTS:
    import_module(f"portal.{name}")
configure_mappers()
_apps = {
    port: create_app(Settings(**settings))
    for port, settings in json.loads(os.environ["REAL_PORTALS"]).items()
}


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Answer with the app of the port that was asked."""
    return _apps[str(environ["SERVER_PORT"])](environ, start_response)
