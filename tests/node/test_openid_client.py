"""npm's openid-client, which nobody here wrote, signs in against the authorization server."""

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from portal.extensions import db
from portal.services import clients
from tests.sandbox.outside.conftest import CACHE, alone, install

PACKAGE = "openid-client@6.9.0"
SCRIPT = Path(__file__).with_name("sign_in.mjs")
CALLBACK = "https://client.example/cb"


@pytest.fixture(scope="session")
def openid_client() -> Path:
    """The folder with the package."""
    folder = CACHE / "openid-client"
    with alone("openid-client"):
        if not (folder / "node_modules" / "openid-client").exists():
            folder.mkdir(exist_ok=True)
            npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
            install(PACKAGE, [*npm, "--prefix", str(folder), PACKAGE])
    return folder


@pytest.fixture
def settings(settings):
    """The portal's settings, with the origin at which it really answers."""
    from tests.sandbox.process import free_port

    return settings.model_copy(update={"portal_base_url": f"http://127.0.0.1:{free_port()}"})


@pytest.fixture
def origin(app, settings):
    """A portal behind a socket."""
    port = int(settings.portal_base_url.rpartition(":")[2])
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield settings.portal_base_url
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_signs_in_renews_and_ends(openid_client, origin, browser, factories):
    admin = factories.user("admin", "admin")
    factories.user("dana", "subscriber")
    wanted = clients.Wanted(
        name="Outside", grants=["authorization_code", "refresh_token"], redirect_uris=[CALLBACK]
    )
    client, secret = clients.register(admin, wanted)
    asked = {
        "issuer": origin,
        "id": client.client_id,
        "secret": secret,
        "callback": CALLBACK,
    }
    db.session.commit()
    process = subprocess.Popen(
        ["node", str(SCRIPT), json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CLIENTS": str(openid_client)},
    )
    line = process.stdout.readline()
    assert line, process.stderr.read()
    browser.sign_in("dana")
    browser.get(json.loads(line)["address"].removeprefix(origin))
    browser.submit("Allow", follow=False, expect=302)
    out, errors = process.communicate(browser.location + "\n", timeout=60)
    assert process.returncode == 0, errors
    told = json.loads(out)

    assert told["claims"]["sub"] == told["person"]["sub"] == "dana@carbon.super"
    assert told["person"]["preferred_username"] == "dana"
    assert told["active"] is True
    assert told["ended"] is True
