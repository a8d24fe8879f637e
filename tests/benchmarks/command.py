"""How a benchmark is called: options, an empty database, and its result as one line of JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(document: str | None, measure: Callable[..., dict[str, Any]], **options: float) -> None:
    """Measure as the command line says, and print what came of it.

    :param document: the module's own; its first line is the help
    :param measure: is given the database, an empty folder, and each of ``options`` by its name
    :param options: what may be chosen, as whole numbers or not, by default so much
    """
    parser = argparse.ArgumentParser(description=document.splitlines()[0] if document else None)
    parser.add_argument("--database", default="", help="an empty one; SQLite in a file by default")
    for name, default in options.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    chosen = vars(parser.parse_args())
    database = chosen.pop("database")
    with tempfile.TemporaryDirectory() as folder:
        url = database or f"sqlite:///{folder}/portal.sqlite3"
        result = measure(url, Path(folder), **chosen)
    sys.stdout.write(json.dumps(result) + "\n")
