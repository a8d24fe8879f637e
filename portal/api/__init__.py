"""The REST API, with WSO2's paths and field names."""

from importlib import import_module

from flask import Blueprint, Flask

from portal.extensions import csrf

bp = Blueprint("api", __name__, url_prefix="/api/am")
# Bearer tokens only, never a cookie: there is nothing to forge.
csrf.exempt(bp)

VIEWS = (
    "admin_policies",
    "admin_configuration",
    "admin_usage",
    "publisher_apis",
    "publisher_monetization",
    "publisher_subscriptions",
    "devportal_apis",
    "devportal_applications",
    "devportal_subscriptions",
    "plan_changes",
    "usage_intake",
)


def register(app: Flask) -> None:
    """Add the blueprint's routes to the app."""
    for name in VIEWS:
        import_module(f"portal.api.{name}")
    app.register_blueprint(bp)
    import_module("portal.api.pages").register(app)
