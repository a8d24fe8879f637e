"""A call that is not passed on, and what its caller is told: RFC 9457 problem details."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, url_for

from portal.services.decisions import Refusal
from portal.web.engines import absolute


class Refused(Exception):
    """A call that is not passed on.

    :param link: path of the page where the cause can be seen and removed
    :param headers: further header fields of the answer
    """

    def __init__(
        self,
        refusal: Refusal,
        *,
        link: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(refusal.slug)
        self.refusal = refusal
        self.link = link
        self.headers = dict(headers or {})


def answer(refused: Refused, request_id: str) -> Response:
    """Return the problem document of a refused call."""
    refusal = refused.refusal
    explanation = url_for("account.problem", slug=refusal.slug)
    page = absolute(refused.link or explanation)
    problem: dict[str, Any] = {
        "type": absolute(explanation),
        "title": refusal.title,
        "status": refusal.http_status,
        "detail": refusal.remedy,
        "code": refusal.code,
        "link": page,
        "request_id": request_id,
    }
    response = Response(
        json.dumps(problem) + "\n",
        status=refusal.http_status,
        mimetype="application/problem+json",
        headers=refused.headers,
    )
    response.headers["Link"] = f'<{page}>; rel="help"'
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Request-Id"] = request_id
    if refusal.http_status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    return response
