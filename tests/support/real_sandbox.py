"""The sandbox as gunicorn serves it in tests: nothing happens there until a test says so.

Its own threads would send a webhook while a test waits for the death of a process: the wrong
request would die. Events and due work wait for ``POST /_sandbox/tick``.
"""

from portal.sandbox.app import create_sandbox
from portal.sandbox.settings import from_environment

application = create_sandbox(from_environment())
