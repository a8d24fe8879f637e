"""The admin portal's forms."""

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    FieldList,
    Form,
    FormField,
    PasswordField,
    RadioField,
    SelectChoice,
    StringField,
    TextAreaField,
)
from wtforms.validators import DataRequired, Length

from portal.models.tenant import Need, Tenant
from portal.money import plain
from portal.services import attributes
from portal.services.approvals import LONGEST_REASON
from portal.services.attributes import Attribute
from portal.services.setup import Configuration, Defaults

#: Empty rows for new attributes at the end of the list, so that it works without JavaScript.
SPARE_ROWS = 1
NEEDS = [
    SelectChoice(Need.PAYMENT.value, "Payment"),
    SelectChoice(Need.APPROVAL.value, "Approval"),
    SelectChoice(Need.BOTH.value, "Payment and approval"),
]


class RejectionForm(FlaskForm):
    """Why a subscription is refused."""

    reason = TextAreaField(
        "Reason",
        filters=[lambda text: " ".join((text or "").split())],
        validators=[
            DataRequired("Enter a reason."),
            Length(max=LONGEST_REASON, message=f"Use at most {LONGEST_REASON} characters."),
        ],
    )


class AttributeForm(Form):
    """One monetization attribute. A row without a name is left out."""

    name = StringField("Name")
    display_name = StringField("Label")
    description = StringField("Description")
    required = BooleanField("Required")


class ConfigurationForm(FlaskForm):
    """Advanced configuration. Secrets are written, never shown: empty keeps what is stored."""

    platform_key = PasswordField("BillingEnginePlatformAccountKey")
    webhook_secret = PasswordField("StripeWebhookSecret")
    forget_older_secret = BooleanField("Forget the older webhook secret now")
    checkout_success_url = StringField("checkoutSuccessUrl")
    checkout_cancel_url = StringField("checkoutCancelUrl")
    publishers_edit_plans = BooleanField("Publishers may create, change and delete plans")
    grace_days = StringField("Days of grace")
    reminder_days = StringField("Reminders")
    platform_fee_percent = StringField("Platform fee")
    subscriptions_need = RadioField("A new subscription needs", choices=NEEDS)
    attributes = FieldList(FormField(AttributeForm), max_entries=attributes.MOST)

    def configuration(self) -> Configuration:
        """Return what was entered."""
        return Configuration(
            platform_key=self.platform_key.data or "",
            webhook_secret=self.webhook_secret.data or "",
            forget_older_secret=bool(self.forget_older_secret.data),
            checkout_success_url=self.checkout_success_url.data or "",
            checkout_cancel_url=self.checkout_cancel_url.data or "",
            publishers_edit_plans=bool(self.publishers_edit_plans.data),
            grace_days=self.grace_days.data or "",
            reminder_days=self.reminder_days.data or "",
            platform_fee_percent=self.platform_fee_percent.data or "",
            subscriptions_need=Need(self.subscriptions_need.data or Need.PAYMENT),
            attributes=tuple(
                Attribute(
                    name=row["name"] or "",
                    display_name=row["display_name"] or "",
                    required=bool(row["required"]),
                    description=row["description"] or "",
                )
                for row in self.attributes.data
                if any(str(row[key] or "").strip() for key in ("name", "display_name"))
            ),
        )


def configuration_form(tenant: Tenant, defaults: Defaults) -> ConfigurationForm:
    """Return the form with what is stored, but for the secrets."""
    rows = [vars(attribute) for attribute in attributes.of_tenant(tenant)]
    spare = min(SPARE_ROWS, attributes.MOST - len(rows))
    return ConfigurationForm(
        checkout_success_url=tenant.checkout_success_url or defaults.success_url,
        checkout_cancel_url=tenant.checkout_cancel_url or defaults.cancel_url,
        publishers_edit_plans=tenant.publishers_edit_plans,
        grace_days=str(tenant.grace_days),
        reminder_days=", ".join(str(days) for days in tenant.reminders),
        platform_fee_percent=plain(tenant.platform_fee_percent),
        subscriptions_need=tenant.subscriptions_need,
        attributes=rows + [{}] * spare,
    )
