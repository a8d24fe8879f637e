"""Another company's engine, installed as pip would, sells through the portal."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

SOURCE = Path(__file__).parents[1] / "support" / "third_party_engine"
REPOSITORY = Path(__file__).parents[2]

SELL = """
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from portal import create_app
from portal.billing.engine import *
from portal.config import Settings
from portal.web.engines import engines
app = create_app(Settings.from_environment())
with app.app_context():
    engine = engines().with_key("acme-1")
account, now = "seller-7", datetime.now(UTC)
assert engine.name == "acme", engine
assert type(engine).__module__ == "acme_billing"
assert engine.test_key().account == "acme"
product = engine.ensure_product(
    account, ProductSpec(product_id="weather", name="Weather", metadata={}), key="1"
)
meter = engine.ensure_meter(account, MeterSpec(event_name="calls", display_name="Calls"), key="2")
price = engine.ensure_price(
    account,
    PriceSpec(
        product_id=product, lookup_key="weather:1", nickname="Pay as you go", currency="usd",
        unit_minor=Decimal("0.25"), usage_type=UsageType.METERED, interval="month",
        meter_id=meter, metadata={},
    ),
    key="3",
)
customer = engine.ensure_customer(
    account, CustomerSpec(name="Dev", email=None, metadata={}), key="4"
)
page = engine.open_checkout(
    account,
    CheckoutSpec(
        customer_id=customer, price_id=price, usage_type=UsageType.METERED, reference="uuid",
        success_url="http://x/{CHECKOUT_SESSION_ID}", cancel_url="http://x",
        expires_at=now + timedelta(hours=1), metadata={},
    ),
    key="5",
)
assert engine.checkout(account, page.session_id).is_paid
bought = page.subscription_id
assert engine.subscription(account, bought).status.is_good
report = UsageReport(
    event_name="calls", customer_id=customer, quantity=25, identifier="b1", timestamp=now
)
receipts = [engine.report_usage(account, report).duplicate for _ in range(2)]
assert receipts == [False, True]
print("total", engine.preview(account, bought).total)
print("ended", engine.cancel_subscription(account, bought).status.is_over)
"""


@pytest.fixture
def installed(tmp_path):
    """The folder that holds the package as an installer leaves it: module and metadata."""
    site = tmp_path / "site"
    shutil.copytree(SOURCE / "acme_billing", site / "acme_billing")
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    metadata = site / "acme_billing-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site


def run(code, tmp_path, *paths, engine="acme"):
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, (*paths, REPOSITORY))),
        "BILLING_ENGINE": engine,
        "SECRET_KEY": "a-secret-key-that-is-only-for-tests-0123456789",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "PORTAL_INSTANCE": str(tmp_path / "instance"),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'portal.sqlite3'}",
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_installed_engine_is_chosen_and_sells(installed, tmp_path):
    done = run(SELL, tmp_path, installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["total 6", "ended True"]


def test_an_engine_that_is_not_installed_stops_the_start_with_a_sentence(tmp_path):
    done = run(SELL, tmp_path)
    assert done.returncode != 0
    assert "BILLING_ENGINE=acme is not installed. Installed: stripe." in done.stderr


def test_the_portal_runs_without_loading_the_stripe_sdk_for_another_engine(installed, tmp_path):
    code = SELL + "\nimport sys; print('stripe' in sys.modules)"
    done = run(code, tmp_path, installed)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
