"""The API Monetization Portal: sell APIs with Stripe, as one Flask app.

Nothing is imported here at module level, so that the sandbox, which lives in this package but
shares nothing with the portal, can be started without it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from portal.config import Settings


def create_app(settings: "Settings | None" = None) -> "Flask":
    """Build the portal from its settings; without any, from the environment.

    :raise portal.config.WrongSettings: if a setting is missing or wrong
    :raise portal.billing.registry.UnknownEngine: if ``BILLING_ENGINE`` is not installed
    """
    from portal.config import Settings
    from portal.web.factory import build

    return build(settings or Settings.from_environment())
