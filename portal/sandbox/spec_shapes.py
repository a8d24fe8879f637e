"""Check objects that the sandbox is about to send against Stripe's schemas."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Schema = Mapping[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float, Decimal),
    "array": (list,),
    "object": (dict,),
}
_SHOWN = 60
_REPORTED = 3


def check_value(
    schemas: Mapping[str, Schema], schema: Schema, value: Any, *, strict: bool
) -> list[str]:
    """List the places where ``value`` does not fit ``schema``, each as ``path: what is wrong``."""
    check = _Check(schemas, strict)
    check.value(schema, value, "")
    return check.found


def check_event(schemas: Mapping[str, Schema], event: Schema, *, strict: bool) -> list[str]:
    """Check the object that an event carries, which the event's own schema leaves open.

    ``previous_attributes`` may name only attributes that the object's schema has.
    """
    data = event.get("data")
    carried = data.get("object") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(carried, dict):
        return []
    schema = _by_tag(schemas, carried)
    if schema is None:
        return [f"data.object: no schema for the tag {carried.get('object')!r}"]
    check = _Check(schemas, strict)
    check.value(schema, carried, "data.object")
    for name in data.get("previous_attributes") or {}:
        if name not in schema["properties"]:
            check.add(f"data.previous_attributes.{name}", "not an attribute of the object")
    return check.found


@dataclass
class _Check:
    schemas: Mapping[str, Schema]
    strict: bool
    found: list[str] = field(default_factory=list)

    def add(self, path: str, text: str) -> None:
        self.found.append(f"{path.lstrip('.') or '(top)'}: {text}")

    def value(self, schema: Schema, value: Any, path: str) -> None:
        nullable = schema.get("nullable", False)
        schema = self.resolve(schema)
        if value is None:
            if not nullable and not schema.get("nullable", False):
                self.add(path, "is null")
        elif "anyOf" in schema:
            self.any_of(schema["anyOf"], value, path)
        else:
            self.typed(schema, value, path)

    def resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def any_of(self, branches: list[Schema], value: Any, path: str) -> None:
        """Report against the branch with the value's ``object`` tag, else against the nearest."""
        resolved = [self.resolve(branch) for branch in branches]
        if isinstance(value, dict) and "object" in value:
            resolved = [each for each in resolved if _tagged(each, value)] or resolved
        attempts = []
        for branch in resolved:
            attempt = _Check(self.schemas, self.strict)
            attempt.value(branch, value, path)
            if not attempt.found:
                return
            attempts.append(attempt.found)
        nearest = min(attempts, key=lambda found: (_mistyped(found, path), len(found)))
        self.found += nearest

    def typed(self, schema: Schema, value: Any, path: str) -> None:
        kind = schema.get("type")
        if kind is None:
            return
        fits = isinstance(value, _TYPES[kind])
        if not fits or (isinstance(value, bool) and kind != "boolean"):
            self.add(path, f"is not of type {kind}: {value!r:.{_SHOWN}}")
        elif kind == "object":
            self.object(schema, value, path)
        elif kind == "array":
            for index, item in enumerate(value):
                self.value(schema["items"], item, f"{path}[{index}]")
        elif kind == "string":
            self.string(schema, value, path)

    def object(self, schema: Schema, value: dict[str, Any], path: str) -> None:
        known: Mapping[str, Schema] = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for name in schema.get("required", ()):
            if name not in value:
                self.add(f"{path}.{name}", "is missing")
        for name, item in value.items():
            if name in known:
                self.value(known[name], item, f"{path}.{name}")
            elif isinstance(extra, Mapping):
                self.value(extra, item, f"{path}.{name}")
            elif self.strict and known:
                self.add(f"{path}.{name}", "is not in Stripe's schema")

    def string(self, schema: Schema, value: str, path: str) -> None:
        choices = schema.get("enum", ())
        # Stripe marks the enums that it may send other values for.
        closed = bool(choices) and not schema.get("x-stripeBypassValidation")
        if closed and value not in choices:
            options = ", ".join(choices[:_REPORTED])
            self.add(path, f"is {value!r:.{_SHOWN}}, not one of {options} ...")
        if len(value) > schema.get("maxLength", len(value)):
            self.add(path, f"is longer than {schema['maxLength']} characters")
        if "pattern" in schema and not re.match(schema["pattern"], value):
            self.add(path, f"does not match {schema['pattern']}: {value:.{_SHOWN}}")
        if schema.get("format") == "decimal" and not re.fullmatch(r"-?\d+(\.\d{1,12})?", value):
            self.add(path, f"is not a plain decimal: {value:.{_SHOWN}}")


def _mistyped(found: list[str], path: str) -> bool:
    return found[0].startswith(f"{path.lstrip('.') or '(top)'}: is not of type")


def _tagged(schema: Schema, value: Mapping[str, Any]) -> bool:
    properties = schema.get("properties", {})
    if value["object"] not in properties.get("object", {}).get("enum", ()):
        return False
    return ("deleted" in schema.get("required", ())) == bool(value.get("deleted"))


def _by_tag(schemas: Mapping[str, Schema], value: Mapping[str, Any]) -> Schema | None:
    if "object" not in value:
        return None
    # Nearly every schema is called like its tag; deleted objects are not.
    namesake = schemas.get(str(value["object"]))
    if namesake is not None and _tagged(namesake, value):
        return namesake
    return next((each for each in schemas.values() if _tagged(each, value)), None)
