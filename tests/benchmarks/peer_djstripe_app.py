"""dj-stripe as an app of its own, with nothing but its webhook. Runs in dj-stripe's environment.

``python peer_djstripe_app.py`` makes its tables and its endpoint; served, it is ``application``.
"""

import os
from urllib.parse import urlsplit
from uuid import UUID

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.urls import include, path

ENDPOINT = UUID("7b1f3c52-0c0b-4c50-9d8e-5a1d2f7e9c11")
SCHEMA = "djstripe"
_KEY = "sk_test_51Benchmark0123456789abcdefghij"


def _configure() -> None:
    there = urlsplit(os.environ["PEER_DATABASE"])
    settings.configure(
        SECRET_KEY="a-secret-key-that-is-only-for-a-benchmark",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "djstripe",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": there.path.lstrip("/"),
                "USER": there.username,
                "PASSWORD": there.password or "",
                "HOST": there.hostname,
                "PORT": there.port or 5432,
                # Kept open, as every other side does.
                "CONN_MAX_AGE": None,
                "OPTIONS": {"options": f"-c search_path={SCHEMA}"},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        STRIPE_LIVE_MODE=False,
        STRIPE_TEST_SECRET_KEY=_KEY,
        STRIPE_API_HOST=os.environ["PEER_STRIPE"],
        DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    )
    django.setup()
    import stripe

    # One of its paths asks without naming a key.
    stripe.api_key = _KEY


_configure()
urlpatterns = [
    path("healthz", lambda _request: HttpResponse("ok")),
    path("stripe/", include("djstripe.urls", namespace="djstripe")),
]
application = WSGIHandler()


def make() -> None:
    """Make the tables, and the endpoint that events are sent to."""
    from django.core.management import call_command
    from djstripe.models import WebhookEndpoint

    call_command("migrate", verbosity=0)
    WebhookEndpoint.objects.create(
        id="we_benchmark",
        secret=os.environ["PEER_SECRET"],
        livemode=False,
        enabled_events=["*"],
        status="enabled",
        url="http://127.0.0.1/",
        djstripe_uuid=ENDPOINT,
    )


if __name__ == "__main__":
    make()
