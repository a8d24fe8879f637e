"""What a portal does not start with, and what it tells browsers over TLS."""

import pytest
from cryptography.fernet import Fernet

from portal import create_app
from portal.config import Settings, WrongSettings

KEY = Fernet.generate_key().decode()
GOOD = "5f2c7d0e9b1a4c3d8e6f7a0b1c2d3e4f"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"ENCRYPTION_KEYS": KEY}, "SECRET_KEY"),
        ({"SECRET_KEY": GOOD}, "ENCRYPTION_KEYS"),
        ({"SECRET_KEY": "short", "ENCRYPTION_KEYS": KEY}, "SECRET_KEY"),
        ({"SECRET_KEY": "changeme" * 5, "ENCRYPTION_KEYS": KEY}, "SECRET_KEY"),
        ({"SECRET_KEY": "x" * 64, "ENCRYPTION_KEYS": KEY}, "SECRET_KEY"),
        ({"SECRET_KEY": GOOD, "ENCRYPTION_KEYS": "not a key"}, "ENCRYPTION_KEYS"),
        ({"SECRET_KEY": GOOD, "ENCRYPTION_KEYS": KEY, "SESSION_IDLE_MINUTES": "0"}, "SESSION_IDLE"),
    ],
)
def test_a_portal_without_its_keys_does_not_start(monkeypatch, given, named):
    for name in ("SECRET_KEY", "ENCRYPTION_KEYS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongSettings) as refused:
        Settings.from_environment()
    assert named in str(refused.value)
    for value in given.values():
        assert value not in str(refused.value) or len(value) < 3


def test_a_public_portal_does_not_start_with_the_debugger(settings, monkeypatch):
    monkeypatch.setenv("FLASK_DEBUG", "1")
    public = settings.model_copy(update={"portal_base_url": "https://portal.example"})
    with pytest.raises(WrongSettings, match="FLASK_DEBUG"):
        create_app(public)


def test_over_tls_browsers_are_told_to_stay_there(settings):
    secure = create_app(settings.model_copy(update={"portal_base_url": "https://portal.example"}))
    answer = secure.test_client().get("/healthz", base_url="https://portal.example")
    policy = answer.headers["Strict-Transport-Security"]
    assert int(policy.partition("max-age=")[2].partition(";")[0]) >= 31_536_000
