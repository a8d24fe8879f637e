"""The WSGI entry point: ``gunicorn wsgi:app``."""

import gc
import os

# What is imported stays: to look through it again and again takes a seventh of the start.
gc.disable()

from portal import create_app  # noqa: E402
from portal.jobs import start_embedded  # noqa: E402

app = create_app()

# Nor is it looked through while requests are answered: that would stop all of them for a tenth of a
# second and more.
gc.freeze()
gc.enable()

# Commands load this file too, to find the app; only a web worker works in the background.
if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
    start_embedded(app)
