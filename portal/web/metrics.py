"""How many requests were answered, and how long each took, for a monitoring system."""

from prometheus_client import Counter, Histogram

REQUESTS = Counter("portal_requests", "Requests answered.", ["endpoint", "method", "status"])
SECONDS = Histogram("portal_request_seconds", "Time to answer a request.", ["endpoint"])
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count(endpoint: str, method: str, status: int, seconds: float | None) -> None:
    """Count one answer. By endpoint, not by address: addresses hold ids, endpoints do not."""
    # Anybody can invent a method, and every label value is kept in memory for ever.
    known = method if method in _METHODS else "OTHER"
    REQUESTS.labels(endpoint, known, str(status)).inc()
    if seconds is not None:
        SECONDS.labels(endpoint).observe(seconds)
