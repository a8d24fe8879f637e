"""The publisher portal's forms. What may be entered is decided by the services."""

from collections.abc import Mapping, Sequence

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import (
    BooleanField,
    RadioField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import CheckboxInput, ListWidget

from portal.models import Api, Endings
from portal.services.apis import ApiDraft
from portal.services.attributes import Attribute

#: Before the attributes' own names, which are the tenant's, so that none hides another field.
PROPERTY = "properties-"


class ApiForm(FlaskForm):
    """An API that is made by hand, or its back ends and description later."""

    name = StringField("Name")
    version = StringField("Version")
    context = StringField("Context")
    endpoint_url = StringField("Endpoint")
    sandbox_endpoint_url = StringField("Sandbox endpoint")
    description = TextAreaField("Description")

    def draft(self) -> ApiDraft:
        """Return what was entered."""
        return ApiDraft(
            name=self.name.data or "",
            version=self.version.data or "",
            context=self.context.data or "",
            endpoint_url=self.endpoint_url.data or "",
            sandbox_endpoint_url=self.sandbox_endpoint_url.data or "",
            description=self.description.data or "",
        )


def form_of(api: Api) -> ApiForm:
    """Return the form with an API's present values."""
    return ApiForm(
        name=api.api_name,
        version=api.api_version,
        context=api.context,
        endpoint_url=api.endpoint_url,
        sandbox_endpoint_url=api.sandbox_endpoint_url or "",
        description=api.description,
    )


class ImportForm(FlaskForm):
    """An OpenAPI document: a file, or its text."""

    file = FileField("File")
    document = TextAreaField("Document")
    context = StringField("Context")
    endpoint_url = StringField("Endpoint")

    def content(self) -> bytes:
        """Return the document's bytes; the file goes before the text."""
        if self.file.data:
            content: bytes = self.file.data.read()
            return content
        return (self.document.data or "").encode()


class PlansForm(FlaskForm):
    """Which plans an API offers."""

    policies = SelectMultipleField(
        "Business Plans",
        option_widget=CheckboxInput(),
        widget=ListWidget(prefix_label=False),
        validate_choice=False,
    )


class RunningForm(FlaskForm):
    """What becomes of the subscriptions that run when an API is taken off sale."""

    running = RadioField(
        "The subscriptions that are paid for",
        choices=[
            SelectChoice(Endings.GO_ON.value, "Let them go on"),
            SelectChoice(Endings.PERIOD.value, "End each with its period"),
            SelectChoice(Endings.NOW.value, "End all of them now"),
        ],
        default=Endings.GO_ON.value,
    )


class MonetizationForm(FlaskForm):
    """Whether an API is sold; the tenant's attributes are added by :func:`monetization_form`."""

    enabled = BooleanField("Enable Monetization")

    def values(self) -> dict[str, str]:
        """Return what was entered, by attribute."""
        return {
            field.name.removeprefix(PROPERTY): str(field.data or "")
            for field in self
            if field.name.startswith(PROPERTY)
        }


def monetization_form(
    attributes: Sequence[Attribute], stored: Mapping[str, str], *, enabled: bool
) -> MonetizationForm:
    """Return the form with a field for each attribute, filled in with what is stored."""
    fields = {
        PROPERTY + attribute.name: StringField(attribute.display_name) for attribute in attributes
    }
    values = {PROPERTY + attribute.name: stored.get(attribute.name, "") for attribute in attributes}
    form: MonetizationForm = type("TenantForm", (MonetizationForm,), fields)(
        enabled=enabled, data=values
    )
    return form
