"""What all bodies and queries share."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

MOST = 100
DEFAULT = 25
LARGEST = 2_147_483_647


class Schema(BaseModel):
    """A JSON object with WSO2's camelCase names.

    What is not known is passed over: a program may send back all that it has read.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", strict=True
    )


class Resource(Schema):
    """An object with an address of its own, and therefore an ETag."""


def _whole(given: Any) -> Any:
    if isinstance(given, str):
        if not re.fullmatch(r"-?[0-9]{1,12}", given):
            raise ValueError("Enter a whole number.")
        return int(given)
    return given


#: Text that every database can store.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=20_000)]
#: Somebody else's identifier, in a body or a query.
Reference = Annotated[
    str,
    StringConstraints(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
    Field(json_schema_extra={"format": "uuid"}),
]
#: A number of a query.
Number = Annotated[int, BeforeValidator(_whole)]


class Paging(Schema):
    """Which part of a list is wanted."""

    limit: Number = Field(DEFAULT, ge=1, le=MOST, description="How many at most.")
    offset: Number = Field(0, ge=0, le=LARGEST, description="How many to pass over.")


class Pagination(Schema):
    """Where a part stands in its list."""

    offset: int
    limit: int
    total: int
    next: str = Field(description="Address of the next part, below the base path; or empty.")
    previous: str = Field(description="Address of the part before; or empty.")


class ErrorItem(Schema):
    """One thing that is wrong."""

    code: str = Field(description="The field that it is about.")
    message: str


class Error(Schema):
    """What every refusal says."""

    code: int = Field(description="WSO2's code where it has one.")
    message: str = Field(description="What kind of refusal it is.")
    description: str = Field(description="What happened, and what to do.")
    more_info: str = Field(description="A page about this kind of refusal.")
    error: list[ErrorItem] = Field(description="What is wrong, field by field.")


class Done(Schema):
    """What was done."""

    message: str
