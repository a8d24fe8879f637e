"""A copy of the file while the sandbox runs; one that is started on it goes on from there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from flask import Response, send_file

from portal.sandbox.store import Store


def download(store: Store) -> Response:
    """Answer with one consistent state of everything, keys and secrets included."""
    with tempfile.TemporaryDirectory(prefix="sandbox-copy-") as folder:
        path = Path(folder, "sandbox.sqlite3")
        store.copy_to(path)
        # The open file outlives its name, so that nothing is left behind.
        copy = path.open("rb")
    response = send_file(
        copy,
        mimetype="application/vnd.sqlite3",
        as_attachment=True,
        download_name="sandbox.sqlite3",
        max_age=0,
    )
    response.call_on_close(copy.close)
    return response
