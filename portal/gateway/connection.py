"""Connections to back ends: pooled, only to addresses that are permitted, never by redirect."""

import os

import requests
from flask import Flask

from portal.services.outgoing import ForbiddenAddress, guarded_session

__all__ = ["CONNECT_SECONDS", "READ_SECONDS", "ForbiddenAddress", "session_of"]

CONNECT_SECONDS = 5.0
#: How long a back end may stay silent, before its answer and between parts of it.
READ_SECONDS = 30.0


def session_of(app: Flask) -> requests.Session:
    """Return this process's session: made after the fork, because sockets cannot be shared."""
    kept: tuple[int, requests.Session] | None = app.extensions.get("gateway_session")
    if kept is None or kept[0] != os.getpid():
        allowlist = app.extensions["portal_settings"].backend_allowlist
        session = guarded_session(allowlist)
        # None is followed: a redirect is handed back, and requests looks where the first one leads.
        session.max_redirects = 1
        kept = (os.getpid(), session)
        app.extensions["gateway_session"] = kept
    return kept[1]
