"""Named points at which a test may let this process die as ``kill -9`` would.

``PORTAL_CRASH_AT`` names a file. While it holds ``<point> <n>``, the process that arrives at the
point for the n-th time ends at once: nothing is rolled back, flushed or said. The file is
removed first, so that whoever goes on is not killed again. Without the variable, which no
installation sets, nothing happens at all.

The points stand where they cannot be forgotten: before and after every request to Stripe, around
every commit, and where a webhook has been verified and stored.
"""

import os
from pathlib import Path

VARIABLE = "PORTAL_CRASH_AT"
#: What a shell reports for a process that SIGKILL ended.
KILLED = 137


def crashpoint(name: str) -> None:
    """End this process here, if the file that ``PORTAL_CRASH_AT`` names says so."""
    path = os.environ.get(VARIABLE)
    if path is not None:
        _arrive(name, Path(path))


def _arrive(name: str, plan: Path) -> None:
    try:
        wanted, _, number = plan.read_text().rpartition(" ")
    except FileNotFoundError:
        return
    if wanted != name:
        return
    left = int(number) - 1
    if left:
        plan.write_text(f"{name} {left}")
        return
    plan.unlink()
    os._exit(KILLED)
