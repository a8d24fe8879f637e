"""Everything that an operator can set. Read once; a wrong or missing value stops the start."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
#: In a checkout the folders stand at the top level; in a wheel they are inside the package.
DATA = CHECKOUT if (CHECKOUT / "pyproject.toml").exists() else HERE / "_data"
INSTANCE = (CHECKOUT if DATA == CHECKOUT else Path.cwd()) / "instance"

STRIPE_API = "https://api.stripe.com"
#: Pages where Stripe takes a form's redirect; Chromium applies form-action to redirects too.
STRIPE_PAGES = (
    "https://checkout.stripe.com",
    "https://billing.stripe.com",
    "https://connect.stripe.com",
    "https://invoice.stripe.com",
)


#: Random text of 32 characters has more different ones, also in hexadecimal.
FEWEST_CHARACTERS = 8


class WrongSettings(Exception):
    """Settings are missing or wrong; the message names each of them."""


class Settings(BaseSettings):
    """The operator's settings, from environment variables of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_file=None)

    secret_key: SecretStr
    """Signs sessions and form tokens; changing it signs everybody out."""
    encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode]
    """Fernet keys for secrets at rest, comma separated, newest first."""
    database_url: str = ""
    portal_base_url: str = "http://127.0.0.1:8000"
    """Public origin used in every absolute address; the Host header never is."""
    stripe_api_base: str = STRIPE_API
    sandbox_base_url: str = "http://127.0.0.1:8001"
    """Public origin of the hosted pages when ``stripe_api_base`` is not Stripe's."""
    billing_engine: str = "stripe"
    queue_url: str = ""
    trusted_proxies: int = Field(default=0, ge=0, le=5)
    https_proxy: str | None = None
    instance: Path = Field(default=INSTANCE, validation_alias="PORTAL_INSTANCE")
    metrics_token: SecretStr | None = None
    """Lets a monitoring system read /metrics from elsewhere than this machine."""
    backend_allowlist: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of API back ends that may be on private addresses, comma separated."""
    gateway_log: Path | None = None
    """The log of an nginx in front of the back ends, which is counted before usage is published."""
    mail_url: SecretStr = SecretStr("")
    """Where notices are mailed: ``smtp+starttls://name:password@host:587``, ``smtps://…``,
    ``smtp://…`` (not encrypted), ``mailbox:`` (kept in the portal, for demos), empty: nowhere."""
    mail_from: str = ""
    """The sender of notices; by default ``no-reply@`` the portal's host."""
    session_idle_minutes: int = Field(default=30, ge=1, le=24 * 60)
    """A browser session ends when its person does nothing for so long."""
    session_hours: int = Field(default=12, ge=1, le=7 * 24)
    """A browser session ends so long after signing in, whatever is done in it."""
    confirm_minutes: int = Field(default=15, ge=1, le=12 * 60)
    """How old the last proof of who it is may be for acts that show secrets or move money."""
    ratelimit_storage: str = "memory://"
    testing: bool = Field(default=False, validation_alias="PORTAL_TESTING")

    @field_validator("encryption_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("backend_allowlist", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _are_fernet_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not keys:
            raise ValueError("name at least one key")
        for key in keys:
            Fernet(key.get_secret_value())
        return keys

    @field_validator("secret_key")
    @classmethod
    def _is_long(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < 32:
            raise ValueError("use at least 32 random characters")
        if len(set(key.get_secret_value())) < FEWEST_CHARACTERS:
            raise ValueError("use random characters, such as `openssl rand -hex 32` prints")
        return key

    @field_validator("portal_base_url", "stripe_api_base", "sandbox_base_url")
    @classmethod
    def _is_origin(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise ValueError("use an origin such as https://portal.example.com")
        return url.rstrip("/")

    @field_validator("mail_url")
    @classmethod
    def _is_mail_url(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        known = ("", "mailbox", "smtp", "smtps", "smtp+starttls")
        if parts.scheme not in known or (parts.scheme.startswith("smtp") and not parts.hostname):
            raise ValueError("use smtp+starttls://name:password@host:587, smtps:// or mailbox:")
        return url

    @model_validator(mode="after")
    def _fill_in(self) -> Self:
        if not self.database_url:
            object.__setattr__(
                self, "database_url", f"sqlite:///{self.instance / 'portal.sqlite3'}"
            )
        if not self.queue_url:
            object.__setattr__(self, "queue_url", str(self.instance / "queue.sqlite3"))
        if self.database_url.startswith(("postgres://", "postgresql://")):
            rest = self.database_url.split("://", 1)[1]
            object.__setattr__(self, "database_url", f"postgresql+psycopg://{rest}")
        return self

    @property
    def is_real_stripe(self) -> bool:
        """Whether payments go to Stripe itself rather than to a stand-in."""
        return self.stripe_api_base == STRIPE_API

    @property
    def payment_origins(self) -> tuple[str, ...]:
        """Origins of the hosted payment pages, for Content-Security-Policy's form-action."""
        return STRIPE_PAGES if self.is_real_stripe else (_origin(self.sandbox_base_url),)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        :raise WrongSettings: naming every missing or wrong variable at once
        """
        try:
            return cls()
        except ValidationError as error:
            wrong = "; ".join(
                f"{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()
            )
            raise WrongSettings(f"Settings are not right. {wrong}.") from None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
