"""ETags and If-Match: nobody overwrites what they have not seen."""

import hashlib

from flask import request

from portal.api.schemas.base import Resource
from portal.errors import Outdated, PreconditionMissing


def etag(resource: Resource) -> str:
    """Return the tag of a representation: it changes exactly when what is shown changes."""
    text = resource.model_dump_json(by_alias=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def required() -> str:
    """Return the request's ``If-Match``.

    :raise portal.errors.PreconditionMissing: if there is none
    """
    given = request.headers.get("If-Match", "").strip()
    if not given:
        raise PreconditionMissing(
            "Send the ETag of the version that you have seen as If-Match, or If-Match: * to "
            "overwrite whatever is there."
        )
    return given


def check(match: str, present: Resource) -> None:
    """Refuse a change of something that has changed since the caller saw it.

    Called inside the transaction that writes.

    :raise portal.errors.Outdated: if none of the tags is the present one
    """
    tags = {tag.strip() for tag in match.split(",")}
    if "*" not in tags and etag(present) not in tags:
        raise Outdated("This has changed since you read it. Read it again, then repeat.")


def check_optional(present: Resource) -> None:
    """Do the same where ``If-Match`` may be left out."""
    given = request.headers.get("If-Match", "").strip()
    if given:
        check(given, present)
