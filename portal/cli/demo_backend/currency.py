"""The API "Currency and Locale": names, symbols and places, from CLDR."""

from functools import lru_cache
from typing import Annotated

import babel
from babel import languages, numbers
from babel.localedata import locale_identifiers
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

CurrencyCode = Annotated[
    str,
    Field(pattern=r"^[A-Za-z]{3}$", description="ISO 4217 code.", examples=["JPY"]),
]
TerritoryCode = Annotated[
    str,
    Field(pattern=r"^[A-Za-z]{2}$", description="ISO 3166-1 alpha-2 code.", examples=["CH"]),
]


class CurrencyName(Answer):
    """A currency in a list."""

    code: str = Field(examples=["JPY"])
    name: str = Field(examples=["Japanischer Yen"])
    symbol: str = Field(examples=["¥"])


class CurrencyList(Answer):
    """Currencies by code."""

    locale: str
    count: int
    currencies: list[CurrencyName]


class Currency(CurrencyName):
    """A currency with what is needed to print amounts in it."""

    locale: str
    minor_units: int = Field(description="Decimal places that CLDR prints.", examples=[0])
    territories: list[str] = Field(description="Where it is legal tender today.")


class Language(Answer):
    """A language of a territory."""

    tag: str = Field(examples=["gsw"])
    name: str = Field(examples=["Schweizerdeutsch"])
    population_percent: float = Field(examples=[65.0])
    official: bool


class Territory(Answer):
    """A territory with its currencies and languages."""

    code: str
    name: str
    locale: str
    currencies: list[CurrencyName]
    languages: list[Language] = Field(description="Most spoken first.")


class LocaleList(Answer):
    """Every locale that CLDR has."""

    count: int
    locales: list[str]


class LocaleFacts(Answer):
    """How a locale writes."""

    locale: str
    name: str = Field(description="In the language asked for by `display`.")
    endonym: str = Field(description="In its own language.")
    direction: str = Field(examples=["ltr", "rtl"])
    decimal_symbol: str
    group_symbol: str
    first_weekday: str = Field(examples=["Monday"])


class ListCurrencies(Request):
    """Which currencies to list."""

    locale: LocaleTag = "en"
    territory: Annotated[
        str,
        Field(
            pattern=r"^([A-Za-z]{2})?$",
            description="Only those that are legal tender there today; empty for all.",
            examples=["CH"],
        ),
    ] = ""


class GetCurrency(Request):
    """Which currency to describe."""

    code: CurrencyCode
    locale: LocaleTag = "en"


class GetTerritory(Request):
    """Which territory to describe."""

    code: TerritoryCode
    locale: LocaleTag = "en"


class ListLocales(Request):
    """Nothing is needed to list the locales."""


class GetLocale(Request):
    """Which locale to describe."""

    locale: LocaleTag
    display: LocaleTag = "en"


def list_currencies(request: ListCurrencies) -> CurrencyList:
    """List the currencies of the world or of a territory, by code."""
    locale = locale_of(request.locale)
    if request.territory:
        codes = numbers.get_territory_currencies(_territory(request.territory, locale, status=400))
    else:
        codes = list(tenders())
    found = [_name(code, locale) for code in sorted(codes)]
    return CurrencyList(locale=tag_of(locale), count=len(found), currencies=found)


def get_currency(request: GetCurrency) -> Currency:
    """Describe a currency; one that CLDR has no name for is unknown."""
    locale, code = locale_of(request.locale), request.code.upper()
    if code not in babel.Locale("en").currencies:
        sentence = f"CLDR has no currency {code!r}: see /currencies for those in use."
        raise Refusal(404, "unknown_currency", sentence, "code")
    return Currency(
        **_name(code, locale).model_dump(),
        locale=tag_of(locale),
        minor_units=numbers.get_currency_precision(code),
        territories=list(tenders().get(code, ())),
    )


def get_territory(request: GetTerritory) -> Territory:
    """Describe a territory with its currencies and its spoken languages."""
    locale = locale_of(request.locale)
    code = _territory(request.code, locale, status=404)
    spoken = languages.get_territory_language_info(code)
    return Territory(
        code=code,
        name=locale.territories[code],
        locale=tag_of(locale),
        currencies=[_name(item, locale) for item in numbers.get_territory_currencies(code)],
        languages=sorted(
            (
                Language(
                    tag=tag.replace("_", "-"),
                    name=_language_name(tag, locale),
                    population_percent=float(facts["population_percent"] or 0),
                    official=bool(facts["official_status"]),
                )
                for tag, facts in spoken.items()
            ),
            key=lambda item: (-item.population_percent, item.tag),
        ),
    )


def list_locales(_: ListLocales) -> LocaleList:
    """List every locale but the root, which is no language."""
    found = sorted(item.replace("_", "-") for item in locale_identifiers() if item != "root")
    return LocaleList(count=len(found), locales=found)


def get_locale(request: GetLocale) -> LocaleFacts:
    """Describe how a locale writes numbers and weeks."""
    locale = locale_of(request.locale, status=404)
    display = locale_of(request.display, "display")
    return LocaleFacts(
        locale=tag_of(locale),
        name=locale.get_display_name(display) or tag_of(locale),
        endonym=locale.get_display_name() or tag_of(locale),
        direction=locale.text_direction,
        decimal_symbol=numbers.get_decimal_symbol(locale),
        group_symbol=numbers.get_group_symbol(locale),
        first_weekday=babel.Locale("en").days["stand-alone"]["wide"][locale.first_week_day],
    )


@lru_cache(maxsize=1)
def tenders() -> dict[str, tuple[str, ...]]:
    """Return the territories in which each currency is legal tender today, by currency code."""
    found: dict[str, list[str]] = {}
    for territory in sorted(babel.Locale("en").territories):
        if len(territory) == 2 and territory.isalpha():
            for code in numbers.get_territory_currencies(territory):
                found.setdefault(code, []).append(territory)
    return {code: tuple(places) for code, places in sorted(found.items())}


def _name(code: str, locale: babel.Locale) -> CurrencyName:
    return CurrencyName(
        code=code,
        name=numbers.get_currency_name(code, locale=locale),
        symbol=numbers.get_currency_symbol(code, locale=locale),
    )


def _territory(code: str, locale: babel.Locale, *, status: int) -> str:
    upper = code.upper()
    if upper not in locale.territories:
        name = "code" if status == 404 else "territory"
        raise Refusal(status, "unknown_territory", f"CLDR has no territory {upper!r}.", name)
    return upper


def _language_name(tag: str, locale: babel.Locale) -> str:
    name = locale.languages.get(tag) or locale.languages.get(tag.split("_")[0])
    return name or tag.replace("_", "-")


API = Api(
    name="currency",
    title="Currency and Locale",
    version="1.0.0",
    summary="Names, symbols and places of money, in any language.",
    description=(
        "Every currency and territory of the Unicode CLDR, named in more than a thousand "
        "locales: for price lists, address forms and country pickers."
    ),
    operations=(
        Operation(
            "/currencies",
            "listCurrencies",
            "List currencies",
            "The currencies that are legal tender somewhere today, or in one territory.",
            ListCurrencies,
            CurrencyList,
            list_currencies,
            {"locale": "de", "territory": "CH"},
        ),
        Operation(
            "/currencies/{code}",
            "getCurrency",
            "Describe a currency",
            "Name, symbol, decimal places and territories of one currency, past ones too.",
            GetCurrency,
            Currency,
            get_currency,
            {"code": "JPY", "locale": "de"},
        ),
        Operation(
            "/territories/{code}",
            "getTerritory",
            "Describe a territory",
            "Name, currencies and spoken languages of one country or region.",
            GetTerritory,
            Territory,
            get_territory,
            {"code": "CH", "locale": "de"},
        ),
        Operation(
            "/locales",
            "listLocales",
            "List locales",
            "The language tags that this and the other APIs understand.",
            ListLocales,
            LocaleList,
            list_locales,
            {},
            shows_example_answer=False,
        ),
        Operation(
            "/locales/{locale}",
            "getLocale",
            "Describe a locale",
            "Writing direction, number symbols and first day of the week.",
            GetLocale,
            LocaleFacts,
            get_locale,
            {"locale": "ar-EG", "display": "en"},
        ),
    ),
)
