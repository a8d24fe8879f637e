"""Publishing usage, and what came of it."""

from typing import Any

from pydantic import ConfigDict, Field, RootModel

from portal.api.schemas.base import Schema
from portal.services.intake import MOST_BYTES


class PublishAccepted(Schema):
    """Whether a publish job was started; 409 says that one is running."""

    status: str
    message: str


class PublishRun(Schema):
    """One run of the publish job."""

    id: str
    started_by: str
    started_time: str | None = Field(description="Milliseconds since 1970.")
    finished_time: str | None
    status: str
    batches: int
    calls: int
    failures: int
    error: str | None


class PublishStatus(Schema):
    """The publish job as it stands now."""

    state: str = Field(description="NOT_STARTED, RUNNING or COMPLETED.")
    status: str | None = Field(description="INPROGRESS, SUCCESSFUL, UNSUCCESSFUL or FAILED.")
    started_time: str | None = Field(description="Milliseconds since 1970.")
    last_publsihed_time: str | None = Field(description="Misspelt as in WSO2.")
    last_published_time: str | None
    runs: list[PublishRun]


def _said(**names: str) -> dict[str, Any]:
    return {"properties": {name: {"description": words} for name, words in names.items()}}


# No types and nothing required: an event that is wrong is refused in its item of the answer, and
# holds up no other one.
_EVENT = {
    "title": "CloudEvent",
    "description": "A CloudEvents 1.0 event about one call. Each is judged by itself.",
    **_said(
        specversion="`1.0`.",
        type="`apim.event.response`.",
        source="Which gateway reports it, at most 110 characters.",
        id="Unique in its source, at most 110 characters: sent again it counts once.",
        time="When the call was answered (RFC 3339 with its zone), in the last 34 days.",
    ),
    "examples": [
        {
            "specversion": "1.0",
            "type": "apim.event.response",
            "source": "kong-1",
            "id": "7c3f6a",
            "time": "2026-05-01T12:00:00Z",
            "data": {
                "subscriptionId": "11111111-2222-3333-4444-555555555555",
                "keyType": "PRODUCTION",
                "apiMethod": "GET",
                "apiResourceTemplate": "/rates/{code}",
                "targetResponseCode": 200,
                "bytes": 512,
            },
        }
    ],
}
_EVENT["properties"]["data"] = {
    "description": "The call.",
    **_said(
        subscriptionId="Whose call it was; or `apiId` with `applicationId`, or with `apiKey`.",
        apiId="The API's id.",
        applicationId="The application's id.",
        apiKey="The key that was sent; it is not stored.",
        keyType="`PRODUCTION` or `SANDBOX`; left out where `apiKey` says it.",
        apiMethod="`GET`, `POST` and so on.",
        apiResourceTemplate="The resource, such as `/rates/{code}`.",
        targetResponseCode="The back end's status, from 100 to 599.",
        bytes=f"Of call and answer together, if known; at most {MOST_BYTES:,} (a terabyte).",
    ),
}


class UsageEvent(RootModel[Any]):
    """One event."""

    model_config = ConfigDict(json_schema_extra=_EVENT)


class UsageEvents(RootModel[list[Any]]):
    """At most a thousand events."""

    model_config = ConfigDict(json_schema_extra={"maxItems": 1000, "items": _EVENT})


class UsageItem(Schema):
    """What became of one event."""

    index: int = Field(description="Its place in what was sent, from 0.")
    id: str
    source: str
    outcome: str = Field(description="accepted, duplicate or refused.")
    reason: str = Field("", description="Why it was refused.")


class UsageTaken(Schema):
    """What became of each event, and how many there are of each kind."""

    accepted: int
    duplicates: int
    refused: int
    items: list[UsageItem]
