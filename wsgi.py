"""The WSGI entry point: ``gunicorn wsgi:app``."""

import os

from portal import create_app
from portal.jobs import start_embedded

app = create_app()

# Commands load this file too, to find the app; only a web worker works in the background.
if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
    start_embedded(app)
