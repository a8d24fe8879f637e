"""The developer portal: catalogue, applications, subscriptions, payment."""

from importlib import import_module

from flask import Blueprint, Flask
from markupsafe import Markup

from portal.services import markdown

bp = Blueprint("devportal", __name__, url_prefix="/devportal")


@bp.app_template_filter("markdown")
def _markdown(text: str) -> Markup:
    # Sanitised by the service, which is the only reason that it may be marked as safe.
    return Markup(markdown.to_html(text))  # noqa: S704


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    for module in (
        "views",
        "application_views",
        "member_views",
        "subscription_views",
        "plan_views",
        "usage_views",
        "notice_views",
        "invoice_views",
        "automate",
    ):
        import_module(f"portal.devportal.{module}")
    app.register_blueprint(bp)
