"""The sign-in form."""

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import EqualTo, InputRequired, Length


class PasswordForm(FlaskForm):
    """The password of now, and the one from now on."""

    present = PasswordField(
        "Present password",
        validators=[InputRequired("Enter the password that you sign in with now.")],
        render_kw={"autocomplete": "current-password"},
    )
    new = PasswordField(
        "New password",
        validators=[InputRequired("Enter a new password.")],
        render_kw={"autocomplete": "new-password"},
    )
    repeated = PasswordField(
        "New password once more",
        validators=[EqualTo("new", "The two do not match.")],
        render_kw={"autocomplete": "new-password"},
    )


class SignInForm(FlaskForm):
    """A user name, with the tenant where it is not the super tenant, and a password."""

    username = StringField(
        "User name",
        validators=[InputRequired("Enter your user name."), Length(max=255)],
        render_kw={"autocomplete": "username", "autofocus": True},
    )
    password = PasswordField(
        "Password",
        validators=[InputRequired("Enter your password."), Length(max=1024)],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField()
