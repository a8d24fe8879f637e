"""The API "Calendar": dates, months and weeks in words, from CLDR."""

import datetime
from typing import Annotated, Literal

from babel import dates
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

Day = Annotated[
    datetime.date, Field(description="ISO 8601 date, UTC.", examples=["2026-11-22"], strict=False)
]
Length = Literal["short", "medium", "long", "full"]
Width = Annotated[
    Literal["wide", "abbreviated", "narrow"], Field(description="How much of the name to write.")
]


class FormatDate(Request):
    """A date to write."""

    date: Day
    locale: LocaleTag = "en"
    format: Annotated[Length, Field(description="How much to write.")] = "medium"


class FormattedDate(Answer):
    """A date as it is written."""

    date: datetime.date
    locale: str
    text: str = Field(examples=["Sonntag, 22. November 2026"])


class FormatInterval(Request):
    """Two dates to write as one stretch of time."""

    start: Day
    end: Day
    locale: LocaleTag = "en"


class FormattedInterval(Answer):
    """A stretch of time as it is written."""

    start: datetime.date
    end: datetime.date
    days: int = Field(description="From the first to the last day, both counted.")
    locale: str
    text: str = Field(examples=["22.–25. Nov. 2026"])


class RelativeDate(Request):
    """A distance from today."""

    days: Annotated[
        int,
        Field(ge=-36500, le=36500, description="Negative for the past.", examples=[-3]),
    ]
    locale: LocaleTag = "en"


class RelativeText(Answer):
    """A distance in words."""

    days: int
    locale: str
    text: str = Field(examples=["vor 3 Tagen"])


class ListMonths(Request):
    """Which month names to list."""

    locale: LocaleTag = "en"
    width: Width = "wide"


class Month(Answer):
    """A month of the Gregorian calendar."""

    number: int
    name: str


class MonthList(Answer):
    """The twelve months."""

    locale: str
    months: list[Month]


class ListWeekdays(Request):
    """Which weekday names to list."""

    locale: LocaleTag = "en"
    width: Width = "wide"


class Weekday(Answer):
    """A day of the week."""

    number: int = Field(description="ISO 8601: Monday is 1.")
    name: str
    weekend: bool


class Week(Answer):
    """The seven days, in the order in which the locale prints them."""

    locale: str
    weekdays: list[Weekday]


def format_date(request: FormatDate) -> FormattedDate:
    """Write a date in the way of a locale."""
    locale = locale_of(request.locale)
    text = dates.format_date(request.date, request.format, locale=locale)
    return FormattedDate(date=request.date, locale=tag_of(locale), text=text)


def format_interval(request: FormatInterval) -> FormattedInterval:
    """Write two dates as one stretch, without repeating what they share."""
    locale = locale_of(request.locale)
    if request.end < request.start:
        sentence = f"The end {request.end} is before the start {request.start}."
        raise Refusal(400, "end_before_start", sentence, "end")
    return FormattedInterval(
        start=request.start,
        end=request.end,
        days=(request.end - request.start).days + 1,
        locale=tag_of(locale),
        text=dates.format_interval(request.start, request.end, "yMMMd", locale=locale),
    )


def relative_date(request: RelativeDate) -> RelativeText:
    """Write a distance from today in words."""
    locale = locale_of(request.locale)
    text = dates.format_timedelta(
        datetime.timedelta(days=request.days),
        granularity="day",
        add_direction=True,
        locale=locale,
    )
    return RelativeText(days=request.days, locale=tag_of(locale), text=text)


def list_months(request: ListMonths) -> MonthList:
    """List the months as they stand alone, on a calendar's head."""
    locale = locale_of(request.locale)
    names = dates.get_month_names(request.width, "stand-alone", locale)
    found = [Month(number=number, name=names[number]) for number in range(1, 13)]
    return MonthList(locale=tag_of(locale), months=found)


def list_weekdays(request: ListWeekdays) -> Week:
    """List the days of the week, beginning with the locale's first."""
    locale = locale_of(request.locale)
    names = dates.get_day_names(request.width, "stand-alone", locale)
    first, last = locale.weekend_start, locale.weekend_end
    weekend = {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    order = [(locale.first_week_day + step) % 7 for step in range(7)]
    found = [Weekday(number=day + 1, name=names[day], weekend=day in weekend) for day in order]
    return Week(locale=tag_of(locale), weekdays=found)


API = Api(
    name="calendar",
    title="Calendar",
    version="2.0.0",
    summary="Dates, months and weeks in words.",
    description=(
        "Write dates, stretches of time and distances from today in any locale of the Unicode "
        "CLDR, and label a calendar with the right months and week."
    ),
    operations=(
        Operation(
            "/dates/format",
            "formatDate",
            "Write a date",
            "A date in one of the four lengths of a locale.",
            FormatDate,
            FormattedDate,
            format_date,
            {"date": "2026-11-22", "locale": "de", "format": "full"},
        ),
        Operation(
            "/dates/interval",
            "formatInterval",
            "Write a stretch of time",
            "From one date to another, without repeating what they share.",
            FormatInterval,
            FormattedInterval,
            format_interval,
            {"start": "2026-11-22", "end": "2026-11-25", "locale": "de"},
        ),
        Operation(
            "/dates/relative",
            "relativeDate",
            "Write a distance from today",
            "A number of days, weeks or months before or after today, in words.",
            RelativeDate,
            RelativeText,
            relative_date,
            {"days": "-3", "locale": "de"},
        ),
        Operation(
            "/months",
            "listMonths",
            "List the months",
            "The names of the twelve months.",
            ListMonths,
            MonthList,
            list_months,
            {"locale": "pl", "width": "abbreviated"},
        ),
        Operation(
            "/weekdays",
            "listWeekdays",
            "List the days of the week",
            "In the order in which the locale prints them, with its weekend marked.",
            ListWeekdays,
            Week,
            list_weekdays,
            {"locale": "ar-EG", "width": "wide"},
        ),
    ),
)
