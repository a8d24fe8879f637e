"""How the Flask app is put together. ``portal.create_app`` is the way in."""

from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter, Map
from whitenoise import WhiteNoise

import portal.models  # noqa: F401 - defines every table
from portal import extensions
from portal.billing import registry
from portal.config import DATA, Settings, WrongSettings
from portal.vault import vault
from portal.web import (
    audit,
    changes,
    context,
    drawing,
    engines,
    logs,
    mail,
    passwords,
    problems,
    security,
)

BLUEPRINTS = ("account", "publisher", "devportal", "admin", "stripe", "oauth", "api", "gateway")


class RowNumber(IntegerConverter):
    """A number in an address: what no database has as a key is not found."""

    def __init__(self, map: Map, **more: Any) -> None:
        super().__init__(map, **{"max": 2**31 - 1, **more})


def build(settings: Settings) -> Flask:
    """Return the app; every piece is bound here and nowhere else."""
    app = Flask(
        "portal",
        root_path=str(DATA),
        template_folder=str(DATA / "templates"),
        static_folder=str(DATA / "static"),
        instance_path=str(settings.instance.resolve()),
    )
    _refuse_debug(app, settings)
    app.jinja_environment = drawing.PagesEnvironment
    app.url_map.converters["int"] = RowNumber
    settings.instance.mkdir(parents=True, exist_ok=True)
    app.config.update(_flask_config(settings))
    app.extensions["portal_settings"] = settings
    logs.init_app(app)
    vault.configure([key.get_secret_value() for key in settings.encryption_keys])
    engines.init_app(app, registry.load(settings.billing_engine))
    _bind_extensions(app, settings)
    security.init_app(app, settings)
    problems.init_app(app)
    passwords.init_app(app)
    drawing.init_app(app)
    context.init_app(app, settings)
    _register_blueprints(app)
    _wrap(app, settings)
    return app


def _refuse_debug(app: Flask, settings: Settings) -> None:
    """Refuse Flask's debugger where others could reach it: it runs whatever it is sent.

    :raise WrongSettings: if debugging is on and the public address is not this machine's
    """
    host = urlsplit(settings.portal_base_url).hostname
    if app.debug and host not in ("127.0.0.1", "localhost", "::1"):
        raise WrongSettings("FLASK_DEBUG is on, but the portal is public. Switch it off.")


def _flask_config(settings: Settings) -> dict[str, Any]:
    secure = settings.portal_base_url.startswith("https://")
    return {
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": extensions.engine_options(settings.database_url),
        "TESTING": settings.testing,
        # Stripe's own redirects bring people back, which Strict would sign out.
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_NAME": "__Host-portal" if secure else "portal_session",
        "PERMANENT_SESSION_LIFETIME": settings.session_hours * 3600,
        # A cookie only with a change: an answer that comes late must not bring back the one before.
        "SESSION_REFRESH_EACH_REQUEST": False,
        "MAX_CONTENT_LENGTH": 1024 * 1024,
        "MAX_FORM_MEMORY_SIZE": 1024 * 1024,
        "WTF_CSRF_TIME_LIMIT": None,
        "RATELIMIT_STORAGE_URI": settings.ratelimit_storage,
        "RATELIMIT_ENABLED": not settings.testing,
        "BABEL_DEFAULT_TIMEZONE": "UTC",
        **mail.flask_config(settings),
    }


def _bind_extensions(app: Flask, settings: Settings) -> None:
    extensions.db.init_app(app)
    extensions.migrate.init_app(
        app, extensions.db, directory=str(DATA / "migrations"), render_as_batch=True
    )
    extensions.csrf.init_app(app)
    extensions.babel.init_app(app)
    extensions.mail.init_app(app)
    extensions.limiter.init_app(app)
    extensions.login_manager.init_app(app)
    with app.app_context():
        extensions.prepare_sqlite(extensions.db.engine)
        extensions.prepare_pool(extensions.db.engine)
    changes.init_app(app)
    audit.init_app(app)


def _register_blueprints(app: Flask) -> None:
    from importlib import import_module

    import_module("portal.jobs").init_app(app)
    for name in BLUEPRINTS:
        module = import_module(f"portal.{name}")
        module.register(app)


def _wrap(app: Flask, settings: Settings) -> None:
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=0
        )
    static = WhiteNoise(
        app.wsgi_app, root=str(DATA / "static"), prefix="static/", allow_all_origins=False
    )
    app.wsgi_app = static  # type: ignore[method-assign]
