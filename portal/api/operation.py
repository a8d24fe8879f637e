"""An operation of the REST API: what it takes is checked, what it answers is told.

The same models check a request, shape an answer and make the document, so that the three cannot
disagree. See ``docs/decisions`` for why this is done with apispec.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from flask import request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.wrappers import Response

from portal.api import conditions
from portal.api.answers import Answer, respond
from portal.errors import Invalid

P = ParamSpec("P")
R = TypeVar("R")
JSON = "application/json"
FORM = "multipart/form-data"
LONGEST_SENTENCE = 200
MOST_SENTENCES = 20


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What the document says of a view."""

    summary: str
    description: str
    answers: Mapping[int, type[BaseModel]]
    """The model of the body for each status that is no error."""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    media_type: str = JSON
    body_optional: bool = False
    reads: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """By media type, the bodies that the view reads and judges itself; ``body`` is empty then."""
    conditional: bool = False
    """Whether If-Match is required."""
    keyed: bool = False
    """Whether an Idempotency-Key is understood."""
    refuses: frozenset[int] = field(default_factory=frozenset)


def operation(
    *, answers: Mapping[int, type[BaseModel]], refuses: tuple[int, ...] = (), **more: Any
) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
    """Check what a view takes and say what it answers.

    The view gets ``query`` and ``body`` as models, ``match`` as the ``If-Match`` header where
    it is required, and the identifiers of its path as text.

    :param refuses: statuses of errors beside those that follow from the rest
    :param more: the other fields of :class:`Operation`
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
        summary, _, description = inspect.cleandoc(view.__doc__ or view.__name__).partition("\n\n")
        item = Operation(
            summary=" ".join(summary.split()).rstrip("."),
            description=description,
            answers=answers,
            refuses=frozenset(refuses),
            **more,
        )

        @wraps(view)
        def checked(**path: Any) -> Response:
            ids = {name: str(value) for name, value in path.items()}
            made = view(**ids, **_given(item))
            if isinstance(made, Response):
                return made
            return respond(made if isinstance(made, Answer) else Answer(made))

        checked.operation = item  # type: ignore[attr-defined]
        return cast("Callable[..., Response]", checked)

    return decorate


def _given(item: Operation) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if item.query is not None:
        given["query"] = read_query(item.query)
    if item.body is not None:
        given["body"] = _read_body(item.body, item.media_type, optional=item.body_optional)
    if item.conditional:
        given["match"] = conditions.required()
    return given


def read_query(model: type[BaseModel]) -> BaseModel:
    """Return the query's known parameters.

    :raise portal.errors.Invalid: if one is wrong, or there more than once
    """
    given: dict[str, str] = {}
    for name, known in model.model_fields.items():
        values = request.args.getlist(known.alias or name)
        if len(values) > 1:
            raise Invalid(f"{known.alias or name} may be there only once.")
        if values:
            given[known.alias or name] = values[0]
    return _checked(lambda: model.model_validate(given))


def _read_body(model: type[BaseModel], media_type: str, *, optional: bool) -> BaseModel:
    if optional and not request.get_data(cache=True):
        return _checked(lambda: model.model_validate({}))
    if request.mimetype != media_type:
        raise UnsupportedMediaType
    if media_type == JSON:
        raw = request.get_data(cache=True)
        return _checked(lambda: model.model_validate_json(raw))
    return _checked(lambda: model.model_validate(_form()))


def _form() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, texts in request.form.lists():
        fields[name] = texts[0] if len(texts) == 1 else texts
    for name, files in request.files.lists():
        fields[name] = files[0].read() if len(files) == 1 else files
    return fields


def _checked(read: Callable[[], BaseModel]) -> BaseModel:
    try:
        return read()
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError, within: str = "") -> Invalid:
    """Put what pydantic found into sentences; what was sent is never repeated.

    :param within: the field whose content was read
    """
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return Invalid(f"{within or 'The body'} is not JSON.")
    fields = {
        ".".join(filter(None, (within, _place(item)))): _sentence(item)
        for item in found[:MOST_SENTENCES]
    }
    told = " ".join(f"{place}: {words}" if place else words for place, words in fields.items())
    return Invalid(told, fields)


def _place(item: ErrorDetails) -> str:
    return ".".join(str(part) for part in item["loc"])[:LONGEST_SENTENCE]


def _sentence(item: ErrorDetails) -> str:
    return item["msg"].removeprefix("Value error, ")[:LONGEST_SENTENCE].rstrip(".") + "."
