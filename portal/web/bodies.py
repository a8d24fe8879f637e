"""What a caller sends as JSON, where no model checks it."""

from typing import Any

from flask import request


def json(*, force: bool = False) -> Any:
    """Return what the request's body holds; ``None`` if that is not JSON.

    JSON that is nested too deep to be read is none either.

    :param force: read it whatever its media type is
    """
    try:
        return request.get_json(force=force, silent=True, cache=False)
    except RecursionError:
        return None
