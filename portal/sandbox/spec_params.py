"""Read Stripe's form encoding by schema, and refuse it in Stripe's words.

The texts, codes and parameter names are those that Stripe's API answers with; where the document
allows more than Stripe is known to accept, the stricter reading is taken.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

Schema = Mapping[str, Any]
Tree = dict[str, Any]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,20}(?:\.([0-9]+))?")
_DEPTH = 12
_DECIMAL_PLACES = 12
_METADATA_KEYS = 50
_METADATA_KEY_LENGTH = 40
_METADATA_VALUE_LENGTH = 500
_METADATA_NAMES = re.compile(r"(?:.*\[)?metadata\]?")
_EXCERPT = 40


class SpecError(Exception):
    """A parameter that Stripe would refuse with 400 ``invalid_request_error``."""

    def __init__(self, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


def coerce_parameters(schema: Schema, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Turn flat pairs into the nested, typed value that the object ``schema`` describes."""
    tree: Tree = {}
    for name, value in pairs:
        _plant(tree, name, value)
    return _object(schema, tree, "")


def _plant(tree: Tree, name: str, value: str) -> None:
    """Put one pair into the tree; ``a[]`` appends as Rack does."""
    found = _NAME.fullmatch(name)
    if found is None or "\x00" in name + value:
        raise _unknown([_excerpt(name)])
    steps = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])]
    if len(steps) > _DEPTH:
        raise _unknown([_excerpt(name)])
    node = tree
    for step, following in pairwise(steps):
        child = node.setdefault(_key(node, step, following), {})
        if not isinstance(child, dict):
            raise SpecError(f"Invalid hash: {_excerpt(child)}", None, found[1])
        node = child
    last = _key(node, steps[-1], None)
    if isinstance(node.get(last), dict):
        raise SpecError(f"Invalid string: {_excerpt(value)}", None, found[1])
    node[last] = value


def _key(node: Tree, step: str, following: str | None) -> str:
    if step:
        return step
    if not node:
        return "0"
    latest = next(reversed(node))
    continues = following and isinstance(node[latest], dict) and following not in node[latest]
    return latest if continues else str(len(node))


def _value(schema: Schema, given: Any, path: str) -> Any:
    if "anyOf" in schema:
        return _any_of(schema["anyOf"], given, path)
    kind = schema.get("type", "string")
    if kind == "object":
        return _hash(schema, given, path)
    if kind == "array":
        return _array(schema, given, path)
    if isinstance(given, dict):
        raise SpecError(f"Invalid {kind}: a hash was given.", None, path)
    return _SCALARS[kind](schema, given, path)


def _any_of(branches: Sequence[Schema], given: Any, path: str) -> Any:
    """The first branch that accepts; numbers before text, so that ``10`` is a number."""
    if given == "" and any(_unsets(branch) for branch in branches):
        return ""
    nested = isinstance(given, dict)
    fitting = [
        branch
        for branch in branches
        if not _unsets(branch) and (branch.get("type") in ("object", "array")) == nested
    ]
    if not fitting:
        kind = next(branch.get("type", "value") for branch in branches if not _unsets(branch))
        raise SpecError(f"Invalid {_WORDS.get(kind, kind)}", None, path)
    refusals = []
    for branch in sorted(fitting, key=_looseness):
        try:
            return _value(branch, given, path)
        except SpecError as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _unsets(branch: Schema) -> bool:
    return bool(branch.get("enum") == [""])


def _looseness(branch: Schema) -> int:
    if "enum" in branch:
        return 0
    return 2 if branch.get("type") == "string" else 1


def _hash(schema: Schema, given: Any, path: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise SpecError("Invalid hash", None, path)
    return _object(schema, given, path)


def _object(schema: Schema, given: Tree, path: str) -> dict[str, Any]:
    if isinstance(schema.get("additionalProperties"), Mapping):
        return _map(schema["additionalProperties"], given, path)
    known = schema.get("properties", {})
    strangers = [_join(path, name) for name in given if name not in known]
    if strangers:
        raise _unknown([_excerpt(name) for name in strangers])
    result = {name: _value(known[name], value, _join(path, name)) for name, value in given.items()}
    for name in schema.get("required", ()):
        if name not in given:
            full = _join(path, name)
            raise SpecError(f"Missing required param: {full}.", "parameter_missing", full)
    return result


def _map(schema: Schema, given: Tree, path: str) -> dict[str, Any]:
    if _METADATA_NAMES.fullmatch(path):
        return _metadata(given, path)
    return {name: _value(schema, value, _join(path, name)) for name, value in given.items()}


def _metadata(given: Tree, path: str) -> dict[str, str]:
    """Apply Stripe's limits to the keys and values; an empty value removes its key."""
    if len(given) > _METADATA_KEYS:
        raise SpecError(
            f"Metadata can have up to {_METADATA_KEYS} keys, but you passed in {len(given)}.",
            None,
            path,
        )
    for key, value in given.items():
        if isinstance(value, dict):
            raise SpecError(
                f"Metadata values must be strings, but for key `{_excerpt(key)}` "
                "you passed in a hash.",
                None,
                _join(path, key),
            )
        _metadata_length("keys", key, _METADATA_KEY_LENGTH, path)
        _metadata_length("values", value, _METADATA_VALUE_LENGTH, _join(path, key))
    return dict(given)


def _metadata_length(what: str, text: str, limit: int, path: str) -> None:
    if len(text) > limit:
        raise SpecError(
            f"Metadata {what} can have up to {limit} characters, but you passed in a "
            f"{what[:-1]} that is {len(text)} characters. Invalid {what[:-1]}: {_excerpt(text)}",
            None,
            _excerpt(path),
        )


def _array(schema: Schema, given: Any, path: str) -> list[Any]:
    if not isinstance(given, dict) or not all(re.fullmatch("[0-9]{1,6}", key) for key in given):
        raise SpecError("Invalid array", None, path)
    ordered = sorted(given, key=int)
    return [
        _value(schema["items"], given[key], f"{path}[{index}]") for index, key in enumerate(ordered)
    ]


def _integer(schema: Schema, given: str, path: str) -> int:
    _refuse_empty(given, path)
    if not _INTEGER.fullmatch(given):
        raise SpecError(f"Invalid integer: {_excerpt(given)}", "parameter_invalid_integer", path)
    return int(given)


def _number(schema: Schema, given: str, path: str) -> Decimal:
    _refuse_empty(given, path)
    if not _DECIMAL.fullmatch(given):
        raise SpecError(f"Invalid decimal: {_excerpt(given)}", None, path)
    return Decimal(given)


def _boolean(schema: Schema, given: str, path: str) -> bool:
    _refuse_empty(given, path)
    if given not in ("true", "false"):
        raise SpecError(f"Invalid boolean: {_excerpt(given)}", None, path)
    return given == "true"


def _string(schema: Schema, given: str, path: str) -> str:
    choices = schema.get("enum")
    if choices is None or "" not in choices:
        _refuse_empty(given, path)
    if choices is not None and given not in choices:
        options = _either([choice for choice in choices if choice])
        raise SpecError(f"Invalid {path}: must be one of {options}", None, path)
    limit = schema.get("maxLength")
    if limit is not None and len(given) > limit:
        raise SpecError(
            f"Invalid string: {_excerpt(given)}; must be at most {limit} characters", None, path
        )
    if schema.get("format") == "decimal":
        _check_decimal(given, path)
    return given


def _check_decimal(given: str, path: str) -> None:
    found = _DECIMAL.fullmatch(given)
    if found is None:
        raise SpecError(f"Invalid decimal: {_excerpt(given)}", None, path)
    if len(found[1] or "") > _DECIMAL_PLACES:
        raise SpecError(
            f"Invalid decimal: {_excerpt(given)}; must contain at maximum twelve decimal places.",
            None,
            path,
        )


def _refuse_empty(given: str, path: str) -> None:
    if given == "":
        raise SpecError(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to "
            f"unset a parameter; however '{path}' cannot be unset. You should remove '{path}' "
            "from your request or supply a non-empty value.",
            "parameter_invalid_empty",
            path,
        )


def _unknown(names: Sequence[str]) -> SpecError:
    word = "parameter" if len(names) == 1 else "parameters"
    return SpecError(f"Received unknown {word}: {', '.join(names)}", "parameter_unknown", names[0])


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def _either(words: Sequence[str]) -> str:
    if len(words) < 3:
        return " or ".join(words)
    return f"{', '.join(words[:-1])}, or {words[-1]}"


def _excerpt(text: str) -> str:
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}..."


_WORDS = {"object": "hash"}
_SCALARS: dict[str, Callable[[Schema, str, str], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}
