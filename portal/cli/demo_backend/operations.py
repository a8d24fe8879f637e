"""What an operation of the demo's back end is, and the values that its requests share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import babel
from pydantic import BaseModel, ConfigDict, Field

LocaleTag = Annotated[
    str,
    Field(
        min_length=2,
        max_length=35,
        pattern=r"^[A-Za-z0-9]+([-_][A-Za-z0-9]+)*$",
        description="Language tag of CLDR, such as `en`, `pt-BR` or `zh-Hant-TW`.",
        examples=["de"],
    ),
]


class Request(BaseModel):
    """Path and query values of a request; a name that is not declared is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """Body of a successful answer."""

    model_config = ConfigDict(frozen=True)


class Problem(Answer):
    """Body of every refusal."""

    error: str = Field(description="Stable code of the refusal.", examples=["unknown_currency"])
    message: str = Field(description="What was wrong, as a sentence.")
    parameter: str = Field(description="The value at fault; empty when it is none.", examples=[""])


class Refusal(Exception):
    """A request that gets a `Problem` instead of an answer."""

    def __init__(self, status: int, error: str, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(error=error, message=message, parameter=parameter)


@dataclass(frozen=True, slots=True)
class Operation:
    """One GET operation: the route, the validation and the OpenAPI entry come from it."""

    path: str
    operation_id: str
    summary: str
    description: str
    request: type[Request]
    answer: type[Answer]
    handler: Callable[[Any], Answer]
    example: dict[str, str]
    shows_example_answer: bool = True


@dataclass(frozen=True, slots=True)
class Api:
    """One product of the back end, served below `/<name>` with a document of its own."""

    name: str
    title: str
    version: str
    summary: str
    description: str
    operations: tuple[Operation, ...]


def locale_of(tag: str, parameter: str = "locale", *, status: int = 400) -> babel.Locale:
    """Return CLDR's locale for a language tag; raise `Refusal` when CLDR has none.

    `und` is refused although Babel reads it as American English: the caller would not notice.
    """
    parts = tag.replace("_", "-").split("-")
    parts[0] = parts[0].lower()
    try:
        if parts[0] in {"und", "root"}:
            raise babel.UnknownLocaleError(tag)
        return babel.Locale.parse("-".join(parts), sep="-")
    except (babel.UnknownLocaleError, ValueError) as error:
        sentence = f"CLDR has no locale {tag!r}: see /locales for those it has."
        raise Refusal(status, "unknown_locale", sentence, parameter) from error


def tag_of(locale: babel.Locale) -> str:
    """Return the language tag of a locale with hyphens, as BCP 47 writes it."""
    return str(locale).replace("_", "-")
