"""What a view of the REST API answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import current_app, request
from pydantic import BaseModel
from werkzeug.wrappers import Response

from portal.api import conditions
from portal.api.schemas.base import Resource


@dataclass(frozen=True, kw_only=True)
class _Rest:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer(_Rest):
    """A body with its status; a resource also gets its ETag."""

    body: BaseModel


def respond(answer: Answer) -> Response:
    """Return the HTTP answer; 304 where the caller holds this version already."""
    body = answer.body
    response = current_app.response_class(
        body.model_dump_json(by_alias=True), status=answer.status, mimetype="application/json"
    )
    response.headers.extend(dict(answer.headers))
    if isinstance(body, Resource):
        response.headers["ETag"] = conditions.etag(body)
        if answer.status == 200:
            response.make_conditional(request.environ)
    return response
