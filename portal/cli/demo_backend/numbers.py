"""The API "Numbers": figures and amounts as people write them, from CLDR."""

from decimal import Decimal
from typing import Annotated, Literal

import babel
from babel import numbers
from pydantic import Field

from portal.cli.demo_backend.operations import (
    Answer,
    Api,
    LocaleTag,
    Operation,
    Refusal,
    Request,
    locale_of,
    tag_of,
)

# Thirty digits bound the work of one answer; no currency amount comes near them.
Figure = Annotated[
    Decimal,
    Field(
        allow_inf_nan=False,
        max_digits=30,
        decimal_places=12,
        description="Decimal number with a point, up to 30 digits, 12 of them decimal places.",
        examples=["1234567.891"],
    ),
]
Style = Literal["decimal", "percent", "compact", "scientific"]


class FormatNumber(Request):
    """A number to write."""

    value: Figure
    locale: LocaleTag = "en"
    style: Annotated[Style, Field(description="How to write it; amounts take `decimal`.")] = (
        "decimal"
    )
    currency: Annotated[
        str,
        Field(
            pattern=r"^([A-Za-z]{3})?$",
            description="ISO 4217 code to write the value as an amount; empty for a bare number.",
            examples=["EUR"],
        ),
    ] = ""


class FormattedNumber(Answer):
    """A number as it is written."""

    value: str = Field(description="The number that was read.", examples=["1234567.891"])
    locale: str
    text: str = Field(examples=["1.234.567,89 €"])


class ParseNumber(Request):
    """A written number to read."""

    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=60,
            description="A number as people of the locale write it.",
            examples=["1.234,5"],
        ),
    ]
    locale: LocaleTag = "en"


class ParsedNumber(Answer):
    """A number that was read."""

    text: str
    locale: str
    value: str = Field(description="Decimal number with a point.", examples=["1234.5"])


class PluralRequest(Request):
    """A number to count with."""

    value: Figure
    locale: LocaleTag = "en"


class Plural(Answer):
    """The grammatical form that goes with a number."""

    value: str
    locale: str
    category: str = Field(description="Of CLDR's six.", examples=["few"])
    categories: list[str] = Field(description="All that the locale has.")


def format_number(request: FormatNumber) -> FormattedNumber:
    """Write a number or an amount in the way of a locale."""
    locale = locale_of(request.locale)
    text = _amount(request, locale) if request.currency else _number(request, locale)
    return FormattedNumber(value=f"{request.value:f}", locale=tag_of(locale), text=text)


def parse_number(request: ParseNumber) -> ParsedNumber:
    """Read a number strictly: misplaced group signs are refused, not guessed at."""
    locale = locale_of(request.locale)
    try:
        value = numbers.parse_decimal(request.text.strip(), locale=locale, strict=True)
    except numbers.NumberFormatError as error:
        sentence = f"{request.text!r} is no number as {tag_of(locale)} writes one."
        raise Refusal(400, "not_a_number", sentence, "text") from error
    if not value.is_finite():
        raise Refusal(400, "not_a_number", f"{request.text!r} is no finite number.", "text")
    return ParsedNumber(text=request.text, locale=tag_of(locale), value=f"{value:f}")


def plural(request: PluralRequest) -> Plural:
    """Tell which plural form a number takes."""
    locale = locale_of(request.locale)
    return Plural(
        value=f"{request.value:f}",
        locale=tag_of(locale),
        category=locale.plural_form(request.value),
        categories=sorted(locale.plural_form.tags | {"other"}),
    )


def _amount(request: FormatNumber, locale: babel.Locale) -> str:
    code = request.currency.upper()
    if code not in babel.Locale("en").currencies:
        raise Refusal(400, "unknown_currency", f"CLDR has no currency {code!r}.", "currency")
    if request.style != "decimal":
        sentence = "An amount is written with the style decimal: leave style out."
        raise Refusal(400, "style_of_amount", sentence, "style")
    return numbers.format_currency(request.value, code, locale=locale)


def _number(request: FormatNumber, locale: babel.Locale) -> str:
    match request.style:
        case "percent":
            return numbers.format_percent(request.value, locale=locale)
        case "compact":
            return numbers.format_compact_decimal(request.value, locale=locale, fraction_digits=1)
        case "scientific":
            return numbers.format_scientific(request.value, locale=locale)
        case "decimal":
            return numbers.format_decimal(request.value, locale=locale)


API = Api(
    name="numbers",
    title="Numbers",
    version="1.2.0",
    summary="Figures and amounts as people write them.",
    description=(
        "Write a number or an amount as any locale of the Unicode CLDR does, read one back, "
        "and pick the plural form that goes with it."
    ),
    operations=(
        Operation(
            "/format",
            "formatNumber",
            "Write a number",
            "A number, a percentage or an amount in the way of a locale.",
            FormatNumber,
            FormattedNumber,
            format_number,
            {"value": "1234567.891", "locale": "de", "currency": "EUR"},
        ),
        Operation(
            "/parse",
            "parseNumber",
            "Read a number",
            "The value of a number as people of a locale write it.",
            ParseNumber,
            ParsedNumber,
            parse_number,
            {"text": "1.234,5", "locale": "de"},
        ),
        Operation(
            "/plural",
            "pluralForm",
            "Pick a plural form",
            "Which of CLDR's plural forms a number takes in a language.",
            PluralRequest,
            Plural,
            plural,
            {"value": "3", "locale": "pl"},
        ),
    ),
)
