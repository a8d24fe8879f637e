"""The OpenAPI 3.1 documents of the demo's back end, built from its operations."""

from typing import Any

from portal.cli.demo_backend.operations import Answer, Api, Operation, Problem

SCHEMAS = "#/components/schemas/{model}"


def document(api: Api, base_url: str) -> dict[str, Any]:
    """Return one API's document; `base_url` is the back end's origin, without a slash."""
    schemas: dict[str, Any] = {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": api.title,
            "version": api.version,
            "summary": api.summary,
            "description": api.description,
            "license": {"name": "Unicode-3.0", "identifier": "Unicode-3.0"},
        },
        "servers": [{"url": f"{base_url}/{api.name}"}],
        "paths": {item.path: {"get": _operation(item, schemas)} for item in api.operations},
        "components": {
            "responses": {
                "BadRequest": _refusal("A value is missing, unknown or wrong.", schemas),
                "NotFound": _refusal("CLDR knows nothing of that name.", schemas),
            },
            "schemas": schemas,
        },
    }


def whole(apis: tuple[Api, ...], base_url: str) -> dict[str, Any]:
    """Return one document for all APIs, each path with its API's name before it."""
    parts = [document(api, base_url) for api in apis]
    components: dict[str, Any] = {"responses": {}, "schemas": {}}
    paths: dict[str, Any] = {}
    for api, part in zip(apis, parts, strict=True):
        paths |= {f"/{api.name}{path}": item for path, item in part["paths"].items()}
        for kind, found in components.items():
            found.update(part["components"][kind])
    info = {
        "title": "Unicode CLDR, answered",
        "version": "1.0.0",
        "description": "All of the demo's APIs in one document.",
    }
    servers = [{"url": base_url or "/"}]
    return {
        "openapi": "3.1.0",
        "info": info,
        "servers": servers,
        "paths": paths,
        "components": components,
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _reference(operation.answer, schemas)}
    if operation.shows_example_answer:
        request = operation.request.model_validate(operation.example)
        content["example"] = operation.handler(request).model_dump(mode="json")
    responses: dict[str, Any] = {
        "200": {"description": "As asked.", "content": {"application/json": content}},
        "400": {"$ref": "#/components/responses/BadRequest"},
    }
    if "{" in operation.path:
        responses["404"] = {"$ref": "#/components/responses/NotFound"}
    return {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": _parameters(operation),
        "responses": responses,
    }


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    whole = operation.request.model_json_schema()
    required = whole.get("required", [])
    found = []
    for name, schema in whole.get("properties", {}).items():
        schema.pop("title", None)
        parameter = {
            "name": name,
            "in": "path" if f"{{{name}}}" in operation.path else "query",
            "required": name in required,
            "description": schema.pop("description", ""),
            "schema": schema,
        }
        if name in operation.example:
            parameter["example"] = operation.example[name]
        found.append(parameter)
    return found


def _reference(model: type[Answer], schemas: dict[str, Any]) -> dict[str, str]:
    schema = model.model_json_schema(mode="serialization", ref_template=SCHEMAS)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"$ref": SCHEMAS.format(model=model.__name__)}


def _refusal(description: str, schemas: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(Problem, schemas)}}
    return {"description": description, "content": content}
