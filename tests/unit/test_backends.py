"""Where an API's back end may be."""

import socket

import pytest

from portal.errors import Invalid, NotAllowed
from portal.services import backends


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("https://api.example.com", "https://api.example.com"),
        (" https://api.example.com/v1/ ", "https://api.example.com/v1"),
        ("http://93.184.215.14:8080/x", "http://93.184.215.14:8080/x"),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", None),
    ],
)
def test_a_public_address_is_kept_without_its_last_slash(given, stored):
    assert backends.check_url(given) == (stored or given.rstrip("/"))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5000",
        "http://localhost/",
        "http://app.localhost",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0/",
        "http://10.1.2.3/",
        "http://192.168.0.10/",
        "http://172.16.9.9/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://metadata.google.internal/",
        "http://printer.local/",
        "http://224.0.0.1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:7f00:1::]/",
    ],
)
def test_an_address_inside_a_network_is_refused(url):
    with pytest.raises(Invalid, match="private network"):
        backends.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https://user:pass@example.com",
        "https://example.com/a?b=c",
        "https://example.com/#x",
        "https://example.com:99999",
        "https://example.com:0",
        "https://exa mple.com",
        "https://example.com\\@evil.example",
        "https://example.com/\n",
        "https://intranet/",
        "https://" + "a" * 2000 + ".com",
    ],
)
def test_what_is_no_address_of_a_back_end_is_refused_with_a_sentence(url):
    with pytest.raises(Invalid) as refused:
        backends.check_url(url.replace("\n", "\x01"))
    assert refused.value.message.endswith((".", "v1."))


def test_the_operator_can_allow_an_origin_in_a_private_network():
    allowed = ["http://10.1.2.3:8080", "http://127.0.0.1"]
    assert backends.check_url("http://10.1.2.3:8080/v1/", allowed) == "http://10.1.2.3:8080/v1"
    assert backends.check_url("http://127.0.0.1:9999", allowed) == "http://127.0.0.1:9999"
    for other in ("http://10.1.2.3:8081", "https://10.1.2.3:8080", "http://10.1.2.4:8080"):
        with pytest.raises(Invalid):
            backends.check_url(other, allowed)


def answers(*addresses):
    return lambda host, port, **_more: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
    ]


def test_a_name_is_looked_up_when_the_gateway_connects():
    found = backends.permitted_addresses(
        "https://api.example.com", lookup=answers("93.184.215.14", "93.184.215.14")
    )
    assert found == ["93.184.215.14"]


@pytest.mark.parametrize("inner", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "fe80::1%eth0"])
def test_a_name_that_leads_inside_is_refused_even_if_one_answer_is_public(inner):
    with pytest.raises(NotAllowed, match="private network"):
        backends.permitted_addresses(
            "https://rebind.example.com", lookup=answers("93.184.215.14", inner)
        )


def test_an_allowed_origin_may_lead_inside():
    assert backends.permitted_addresses(
        "http://127.0.0.1:9", ["http://127.0.0.1"], lookup=answers("127.0.0.1")
    ) == ["127.0.0.1"]
