"""The files an operator starts from say what the code says."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from packaging.requirements import Requirement

from portal.config import Settings

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("postgres", "mysql", "redis", "elk", "test", "lint")
REQUIREMENTS = [
    Requirement(line)
    for line in PROJECT["dependencies"]
    + [line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    if not line.startswith(PROJECT["name"])
]
# What .env.example explains beside the settings of the portal itself.
OTHERS = {
    "HTTPS_PROXY",
    "PORTAL_BIND",
    "PORTAL_THREADS",
    "REQUIRE_ALL_TESTS",
    "STRIPE_TEST_KEY",
    "TEST_MYSQL_URL",
    "TEST_POSTGRESQL_URL",
    "WEB_CONCURRENCY",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned_versions() -> dict[str, str]:
    lines = (ROOT / "deploy" / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pins}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda item: item.name)
def test_every_dependency_has_a_tested_version_that_it_admits(requirement: Requirement) -> None:
    version = pinned_versions()[normal(requirement.name)]
    assert requirement.specifier.contains(version)


def test_the_example_environment_names_every_setting_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    known = {
        str(field.validation_alias or name).upper() for name, field in Settings.model_fields.items()
    }
    assert named - OTHERS == known - OTHERS - {"PORTAL_TESTING"}
    assert named >= OTHERS


def test_the_units_run_what_the_project_installs() -> None:
    for unit in sorted((ROOT / "deploy" / "systemd").glob("*.service")):
        text = unit.read_text()
        command = re.findall(r"^ExecStart=/opt/portal/\.venv/bin/(\w+) (.*)$", text, re.MULTILINE)
        assert len(command) == 1, unit.name
        assert command[0][0] in {"flask", "gunicorn"}
        assert "wsgi:app" in command[0][1]
        assert "User=portal" in text
    assert (ROOT / "deploy" / "gunicorn.conf.py").exists()


def test_what_a_server_has_loaded_is_never_looked_through_again(tmp_path: Path) -> None:
    """A full look through all that is imported would stop every request of the process."""
    env = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "a-secret-key-that-is-only-for-this-test-0123456",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'portal.sqlite3'}",
        "PORTAL_INSTANCE": str(tmp_path / "instance"),
    }
    script = "import gc, wsgi; print(gc.isenabled(), gc.get_freeze_count() > len(gc.get_objects()))"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == ["True", "True"]
