"""Settings of ``gunicorn -c deploy/gunicorn.conf.py wsgi:app``; each line says why it is here."""

import os
from typing import Any

from gunicorn.glogging import Logger

# Loopback, because TLS ends in the proxy in front; unix:/run/portal/portal.sock works too.
bind = os.environ.get("PORTAL_BIND", "127.0.0.1:8000")

# Threads wait for Stripe and for back ends, so workers need only match the cores.
workers = int(os.environ.get("WEB_CONCURRENCY", os.cpu_count() or 2))
threads = int(os.environ.get("PORTAL_THREADS", "8"))
worker_class = "gthread"

# Each worker opens its own database connections, and a HUP loads new code: both fail once the
# app is loaded before the fork.
preload_app = False

# Longer than the proxy's keep-alive to this server, else a reused connection may just be closing.
keepalive = 75

# A stuck worker is replaced after this; a slow request is not, because gthread's heartbeat does
# not come from the threads that answer.
timeout = 60

# A request in flight may be in a third try of a call to Stripe with 10 s each.
graceful_timeout = 35

# A worker is renewed now and then, so that a slow leak in any library stays small. The jitter is as
# wide: workers that share the calls evenly would else begin anew in the same seconds, in which
# nobody answers.
max_requests = 100_000
max_requests_jitter = 100_000

# The heartbeat is a file: on a busy disk it would block the worker that it watches.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

# gunicorn would open a control socket in the home of the service's user, who often has none.
control_socket_disable = True

# Only a proxy on this machine may say that a request came over https, and only if there is one.
forwarded_allow_ips = os.environ.get(
    "FORWARDED_ALLOW_IPS", "127.0.0.1,::1" if int(os.environ.get("TRUSTED_PROXIES", "0")) else ""
)

# To the journal. The path without its query: codes and session ids of OAuth and Checkout stand
# in the query, and nothing secret belongs into a log.
accesslog = "-"
errorlog = "-"
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s %(L)ss "%(a)s"'


class OneLineACall(Logger):
    """Leaves out the decisions that let a call through: the gateway that asked logs the call.

    A line costs as much as half a decision, and there may be thousands of them in a second.
    Refusals are written, and so is all else.
    """

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        """Write the line of a request."""
        # gunicorn also writes a line of what it could not read, which has no path.
        path = environ.get("PATH_INFO", "")
        asked = path == "/gateway/authorize" or path.startswith("/gateway/authorize/")
        if not asked or resp.status_code != 200:
            super().access(resp, req, environ, request_time)


logger_class = OneLineACall


def child_exit(server: Any, worker: Any) -> None:
    """Forget the live gauges of a worker that ended, where several share their metrics."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)
