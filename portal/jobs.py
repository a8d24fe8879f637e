"""Background work. The database row is the truth; the queue only wakes a worker.

Contract used by portal/stripe/views.py (keep it): ``wake()`` makes the worker run, soon and once,
``flows.refreshing.refresh_due``, ``flows.refreshing.retry_parked`` and ``flows.payments.sweep``.
"""


def wake() -> None:
    """Ask the worker to look for what is due, now rather than at its next sweep."""
