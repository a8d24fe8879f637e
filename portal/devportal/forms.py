"""The developer portal's forms."""

import unicodedata
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    HiddenField,
    IntegerField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, Length, NumberRange, ValidationError

from portal.services.costs import MOST_CALLS


def _trimmed(text: str | None) -> str:
    return " ".join((text or "").split())


def _readable(_form: FlaskForm, field: Any) -> None:
    """Refuse what cannot be read or stored: control characters, half of a surrogate pair."""
    if any(
        unicodedata.category(char) in ("Cc", "Cs") and char not in "\r\n\t"
        for char in field.data or ""
    ):
        raise ValidationError("Use readable characters only.")


class ApplicationForm(FlaskForm):
    """An application's name and what it is for."""

    name = StringField(
        "Name",
        filters=[_trimmed],
        validators=[
            InputRequired("Enter a name."),
            Length(min=1, max=100, message="Enter a name of at most 100 characters."),
            _readable,
        ],
    )
    description = TextAreaField(
        "Description",
        filters=[lambda text: (text or "").strip()],
        validators=[Length(max=1000, message="Use at most 1,000 characters."), _readable],
    )
    next = HiddenField()

    def validate_name(self, field: Any) -> None:
        """Refuse a name of blanks only."""
        if not field.data:
            raise ValidationError("Enter a name.")


class MemberForm(FlaskForm):
    """Who is to share an application."""

    name = StringField(
        "User name",
        filters=[_trimmed],
        validators=[InputRequired("Enter a user name."), Length(max=255), _readable],
    )


class ChooseForm(FlaskForm):
    """Which application subscribes under which plan. Sent by GET: choosing changes nothing."""

    class Meta:
        """No token: nothing is changed."""

        csrf = False

    application = SelectField("Application", validators=[InputRequired("Choose an application.")])
    policy = RadioField("Plan", validators=[InputRequired("Choose a plan.")])


class CalculatorForm(FlaskForm):
    """How many calls to reckon with. Sent by GET: asking changes nothing."""

    class Meta:
        """No token: nothing is changed."""

        csrf = False

    calls = IntegerField(
        "Calls in one billing cycle",
        validators=[
            InputRequired("Enter a whole number of calls."),
            NumberRange(0, MOST_CALLS, f"Enter a number from 0 to {MOST_CALLS:,}."),
        ],
    )


class RegenerateForm(FlaskForm):
    """How long the replaced key goes on working."""

    grace = RadioField(
        "The present key",
        choices=[
            SelectChoice("day", "Works for 24 more hours"),
            SelectChoice("week", "Works for 7 more days"),
            SelectChoice("none", "Stops at once"),
        ],
        default="day",
        validators=[InputRequired("Choose what happens to the present key.")],
    )
