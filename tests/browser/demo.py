"""A demo in processes of its own, as a person would start it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def running(
    folder: Path, port: int, sandbox_port: int, **environment: str
) -> Iterator[dict[str, Any]]:
    """Run a demo; yields what `flask demo --json` says of itself, once it answers."""
    options = ["--port", str(port), "--sandbox-port", str(sandbox_port), "--data", str(folder)]
    # Settings of whoever runs this must not reach the demo.
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi:app", "demo", "--json", *options],
            cwd=ROOT,
            env={**inherited, "FLASK_SKIP_DOTENV": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, (folder / "said").read_text()
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stdout:
            process.stdout.close()
