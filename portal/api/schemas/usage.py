"""Publishing usage, and what came of it."""

from pydantic import Field

from portal.api.schemas.base import Schema


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
