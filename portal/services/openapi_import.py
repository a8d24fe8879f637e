"""Reading an OpenAPI 3 document that somebody uploaded or pasted, without trusting it.

A document can name files and hosts (``$ref``), multiply itself (YAML aliases), nest without end
or hold a pattern that takes hours to match. Each of these is refused, or left out of the check,
before the validator sees the document: it would open whatever a reference names.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml
from openapi_spec_validator import (
    OpenAPIV30SpecValidator,
    OpenAPIV31SpecValidator,
    OpenAPIV32SpecValidator,
)
from referencing.exceptions import Unresolvable

from portal.errors import Invalid

LARGEST = 1024 * 1024
DEEPEST = 64
MOST_PARTS = 20_000
LONGEST_DESCRIPTION = 16_000
_VALIDATORS = {
    "3.0": OpenAPIV30SpecValidator,
    "3.1": OpenAPIV31SpecValidator,
    "3.2": OpenAPIV32SpecValidator,
}
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


@dataclass(frozen=True, kw_only=True)
class ImportedApi:
    """What an OpenAPI document says of an API. ``endpoint_url`` is empty if it names no host."""

    title: str
    version: str
    description: str
    endpoint_url: str
    definition: str
    """The document as JSON."""


def read(document: bytes) -> ImportedApi:
    """Read and check a document in JSON or YAML.

    Opens no file and no connection, whatever the document says.

    :raise portal.errors.Invalid: with a sentence that names what is wrong, and where
    """
    if len(document) > LARGEST:
        raise Invalid("The document is larger than 1 MB. Send a smaller one.")
    content = _parse(document)
    _refuse_traps(content)
    _name_version(content)
    _validate(content)
    info = content["info"]
    return ImportedApi(
        title=str(info["title"]).strip(),
        version=str(info["version"]).strip(),
        description=str(info.get("description") or info.get("summary") or "")[:LONGEST_DESCRIPTION],
        endpoint_url=_server(content),
        definition=json.dumps(content, ensure_ascii=False, separators=(",", ":")),
    )


def _parse(document: bytes) -> dict[str, Any]:
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("The document is not UTF-8 text.") from error
    if not text.strip():
        raise Invalid("Choose a file, or paste the document.")
    try:
        content = _json(text) if text.lstrip()[0] in "{[" else _yaml(text)
    except RecursionError as error:
        raise Invalid(_TOO_DEEP) from error
    if not isinstance(content, dict):
        raise Invalid("This is not an OpenAPI document: it must be an object with a key openapi.")
    return content


def _json(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        if text.lstrip()[0] == "{" and not text.lstrip()[1:].lstrip().startswith('"'):
            return _yaml(text)
        raise Invalid(
            f"The document is not JSON: line {error.lineno}, column {error.colno}."
        ) from error
    except ValueError as error:
        raise Invalid("The document is not JSON: it holds a number that JSON has not.") from error


class _Number(float):
    """A number that remembers how it was written: ``version: 1.10`` means 1.10, not 1.1."""

    written: str


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as OpenAPI means it: JSON's values and no others; ``no`` and ``2024-01-01`` are text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


def _number(loader: Any, node: Any) -> float:
    number = _Number(node.value)
    number.written = node.value
    return number


_Loader.add_constructor("tag:yaml.org,2002:float", _number)
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:null|Null|NULL|~|)$", "nN~"),
    ("int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
    ("float", r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$", "-0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])


def _yaml(text: str) -> Any:
    try:
        _refuse_yaml_traps(text)
        # _Loader is a safe loader: it makes nothing but JSON's values.
        content = yaml.load(text, Loader=_Loader)  # noqa: S506
        json.dumps(content, allow_nan=False)
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in (error.problem or ""):
            # PyYAML 6.0.4 and newer: LibYAML's own limit, met while it reads ahead.
            raise Invalid(_TOO_DEEP) from error
        mark = error.problem_mark
        place = f" in line {mark.line + 1}" if mark else ""
        raise Invalid(f"The document is neither JSON nor YAML: {error.problem}{place}.") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise Invalid("The document holds a value that JSON does not have.") from error
    return _with_text_keys(content)


def _refuse_yaml_traps(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise Invalid("The document uses YAML aliases (*name). Write the parts out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise Invalid(_TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else json.dumps(key): _with_text_keys(item)
            for key, item in value.items()
        }
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


_TOO_DEEP = f"The document is nested more than {DEEPEST} levels deep."


def _parts(content: Any) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield every object with its depth, without recursion."""
    waiting: list[tuple[Any, int]] = [(content, 1)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST:
            raise Invalid(_TOO_DEEP)
        if seen > MOST_PARTS:
            raise Invalid(f"The document has more than {MOST_PARTS:,} parts. Send a smaller one.")
        if isinstance(value, dict):
            yield value, depth
        inner = value.values() if isinstance(value, dict) else value
        waiting.extend((item, depth + 1) for item in inner if isinstance(item, dict | list))


def _refuse_traps(content: dict[str, Any]) -> None:
    for part, _ in _parts(content):
        for key in _REFERENCES:
            target = part.get(key)
            if isinstance(target, str) and not target.startswith("#/"):
                raise Invalid(
                    f"The document refers to {target[:80]}. Only references inside the document "
                    "are read: they begin with #/. Bundle the document into one file first."
                )
        if isinstance(part.get("$id"), str):
            raise Invalid("The document gives a schema its own address ($id). Take it out first.")


def _name_version(content: dict[str, Any]) -> None:
    """Turn a version that was written without quotes into the text that was meant."""
    info = content.get("info")
    if isinstance(info, dict) and isinstance(info.get("version"), int | float):
        version = info["version"]
        info["version"] = version.written if isinstance(version, _Number) else str(version)


def _validate(content: dict[str, Any]) -> None:
    version = content.get("openapi")
    validator = _VALIDATORS.get(str(version)[:3]) if isinstance(version, str) else None
    if validator is None:
        raise Invalid(
            "This is not an OpenAPI 3 document: its key openapi must be 3.0, 3.1 or 3.2. "
            "Convert a Swagger 2.0 document first."
        )
    try:
        error = next(validator(_without_patterns(content)).iter_errors(), None)
    except RecursionError as circle:
        raise Invalid("The document refers to itself in a circle.") from circle
    except Unresolvable as missing:
        raise Invalid(f"A reference leads nowhere: {str(missing.ref)[:200]}.") from missing
    if error is not None:
        place = " > ".join(str(step) for step in getattr(error, "absolute_path", ())) or "the top"
        raise Invalid(
            f"The document is not valid OpenAPI, at {place[:200]}: {str(error.message)[:200]}"
        )


def _without_patterns(value: Any) -> Any:
    """Return a copy without regular expressions.

    The validator matches default values against them, and one pattern can take it for hours.
    """
    if isinstance(value, list):
        return [_without_patterns(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_patterns(item)
        for key, item in value.items()
        if not (key == "pattern" and isinstance(item, str))
        and not (key == "patternProperties" and isinstance(item, dict))
    }


def _server(content: dict[str, Any]) -> str:
    """Return the first server's address, its variables filled in; empty if it is relative."""
    servers = content.get("servers") or [{}]
    url = str(servers[0].get("url", ""))
    for name, variable in (servers[0].get("variables") or {}).items():
        url = url.replace("{" + str(name) + "}", str(variable.get("default", "")))
    return url.rstrip("/") if url.startswith(("http://", "https://")) else ""
