"""What a sandbox process is told at start."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field

API_VERSION = "2026-04-22.dahlia"


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The options of one sandbox process.

    `meter_lag` is how many seconds a usage event waits before it is counted; `strict` validates
    every answer and every event against Stripe's own document and fails loudly on a difference.
    `instant_clocks` advances a test clock inside the request that asks for it; `unlimited_clocks`
    lifts Stripe's limits of three customers per clock and three subscriptions per customer.
    `rate_limit` is how many requests a second each account may make, 0 for no limit.
    """

    database: str
    base_url: str = "http://127.0.0.1:8001"
    admin_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    orderly: bool = False
    seed: int | None = None
    meter_lag: int = 0
    strict: bool = False
    allow_remote: bool = False
    instant_clocks: bool = False
    unlimited_clocks: bool = False
    rate_limit: int = 0


def from_environment() -> SandboxSettings:
    """Read the settings of a sandbox that a server such as gunicorn starts.

    :raise RuntimeError: when `SANDBOX_DATABASE` is missing, or a number is not one
    """
    env = os.environ
    if not env.get("SANDBOX_DATABASE"):
        raise RuntimeError("SANDBOX_DATABASE is not set: name the file that keeps the objects.")
    try:
        seed = int(env["SANDBOX_SEED"]) if env.get("SANDBOX_SEED") else None
        lag = int(env.get("SANDBOX_METER_LAG") or 0)
        limit = int(env.get("SANDBOX_RATE_LIMIT") or 0)
    except ValueError as error:
        raise RuntimeError(
            "SANDBOX_SEED, SANDBOX_METER_LAG and SANDBOX_RATE_LIMIT are whole numbers."
        ) from error
    return SandboxSettings(
        database=env["SANDBOX_DATABASE"],
        base_url=(env.get("SANDBOX_BASE_URL") or "http://127.0.0.1:8001").rstrip("/"),
        admin_token=env.get("SANDBOX_ADMIN_TOKEN") or secrets.token_urlsafe(24),
        orderly=env.get("SANDBOX_ORDERLY") == "1",
        seed=seed,
        meter_lag=max(lag, 0),
        strict=env.get("SANDBOX_STRICT") == "1",
        allow_remote=env.get("SANDBOX_ALLOW_REMOTE") == "1",
        instant_clocks=env.get("SANDBOX_INSTANT_CLOCKS") == "1",
        unlimited_clocks=env.get("SANDBOX_UNLIMITED_CLOCKS") == "1",
        rate_limit=max(limit, 0),
    )
