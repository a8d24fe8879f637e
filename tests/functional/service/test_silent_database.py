"""A database server that says nothing is given up, and the operator's own limits stand."""

import socket
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from portal import extensions
from tests.conftest import server_url


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of something that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("kind", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_server_that_accepts_and_is_silent_is_given_up(
    silent: int, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(extensions, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(extensions, "FIRST_WORDS_SECONDS", 2.5)
    url = f"{kind}://portal@127.0.0.1:{silent}/portal"
    engine = sa.create_engine(url, **extensions.engine_options(url))
    began = time.monotonic()
    with pytest.raises(sa.exc.OperationalError):
        engine.connect()
    assert 1 < time.monotonic() - began < 20
    engine.dispose()


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_connection_whose_other_end_is_gone_is_noticed(kind: str) -> None:
    url = server_url(kind)
    engine = sa.create_engine(url, **extensions.engine_options(url))
    extensions.prepare_pool(engine)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        number = driver.fileno() if kind == "postgresql" else driver._sock.fileno()
        with socket.socket(fileno=socket.dup(number)) as line:
            options = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT)
            found = [line.getsockopt(socket.IPPROTO_TCP, each) for each in options]
            assert found == [15_000, 15, 3]
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert getattr(driver, "_read_timeout", None) is None, "a statement may take long"
    engine.dispose()


def test_what_the_address_says_is_not_overruled() -> None:
    said = "postgresql+psycopg://portal@db/portal?connect_timeout=20&keepalives_idle=60"
    arguments = extensions.engine_options(said)["connect_args"]
    assert arguments.keys() == {"tcp_user_timeout", "keepalives_interval", "keepalives_count"}
    said = "mysql+pymysql://portal@db/portal?connect_timeout=9&read_timeout=60"
    assert extensions.engine_options(said)["connect_args"] == {}
    assert extensions.engine_options("mysql+mysqldb://portal@db/portal")["connect_args"] == {}
