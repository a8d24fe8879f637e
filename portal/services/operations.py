"""What an API can do, read from its OpenAPI document for the developer portal."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
#: A page shows this many; the document has them all.
MOST = 200
_PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation; ``example`` is a path, with its query, that can be called as it stands."""

    method: str
    path: str
    summary: str
    example: str


def of(definition: str | None) -> list[Operation]:
    """Return the operations of an OpenAPI document in its order; none if there is no document.

    The document was validated when it was taken in. What is odd all the same is left out:
    a developer's page must not depend on it.
    """
    document = _object(_read(definition))
    return list(islice(_operations(document), MOST))


def example(operations: list[Operation]) -> Operation | None:
    """Return the operation to try first: the first that only reads, preferring short paths."""
    readers = [item for item in operations if item.method == "GET"]
    return min(readers, key=lambda item: item.path.count("{"), default=None)


def _read(definition: str | None) -> Any:
    try:
        return json.loads(definition) if definition else None
    except (ValueError, RecursionError):
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in _object(document.get("paths")).items():
        entry = _object(item)
        for method in METHODS:
            operation = _object(entry.get(method))
            if not operation:
                continue
            parameters = [
                _resolved(document, parameter)
                for owner in (entry, operation)
                for parameter in _list(owner.get("parameters"))
            ]
            yield Operation(
                method=method.upper(),
                path=str(path),
                summary=str(operation.get("summary") or operation.get("description") or "")[:300],
                example=_example(str(path), parameters),
            )


def _resolved(document: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    reference = _object(value).get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return _object(value)
    found: Any = document
    for part in reference[2:].split("/"):
        found = _object(found).get(part.replace("~1", "/").replace("~0", "~"))
    return _object(found)


def _example(path: str, parameters: list[Mapping[str, Any]]) -> str:
    values = {
        (str(item.get("in")), str(item.get("name"))): _sample(item)
        for item in parameters
        if item.get("in") == "path" or item.get("required")
    }
    filled = _PLACE.sub(
        lambda place: quote(values.get(("path", place[1])) or place[1], safe=""), path
    )
    query = {name: value for (place, name), value in values.items() if place == "query"}
    return f"{filled}?{urlencode(query)}" if query else filled


def _sample(parameter: Mapping[str, Any]) -> str:
    schema = _object(parameter.get("schema"))
    several = _object(parameter.get("examples"))
    candidates = [
        parameter.get("example"),
        *(_object(entry).get("value") for entry in several.values()),
        schema.get("example"),
        *_list(schema.get("examples"))[:1],
        schema.get("default"),
        *_list(schema.get("enum"))[:1],
    ]
    scalars = [item for item in candidates if isinstance(item, str | int | float)]
    if not scalars:
        return ""
    return scalars[0] if isinstance(scalars[0], str) else json.dumps(scalars[0])


def without_servers(document: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI document without the back end's addresses, at whatever level they stand.

    Paths, operations and links may name servers of their own; a caller who used one would pass
    by the gateway.
    """
    kept = {key: value for key, value in document.items() if key != "servers"}
    for name in ("paths", "components", "webhooks"):
        if name in kept:
            kept[name] = _stripped(kept[name])
    return kept


def _stripped(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            key: _stripped(value)
            for key, value in part.items()
            if not (key == "servers" and isinstance(value, list))
            and not (key == "server" and isinstance(value, dict) and "url" in value)
        }
    return [_stripped(item) for item in part] if isinstance(part, list) else part
