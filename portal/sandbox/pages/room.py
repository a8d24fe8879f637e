"""The control room: `/_sandbox/` for people."""

from __future__ import annotations

from flask import Blueprint

from portal.sandbox.pages.web import TEMPLATES

blueprint = Blueprint("room", __name__, url_prefix="/_sandbox", template_folder=TEMPLATES)
