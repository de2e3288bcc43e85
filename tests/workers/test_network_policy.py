"""Which addresses are refused, however they are written, and what opens them."""

import socket

import pytest

from tests.ports import closed_port
from workers.errors import AddressRefused, SourceUnavailable
from workers.network import NetworkPolicy, checked_address, connect

METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "fd20:ce::254"]
PRIVATE = ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fc00::1", "fd12::1", "fec0::1"]
LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1"]
RESERVED = [
    *("0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1", "224.0.0.1", "239.255.255.255", "192.0.2.1"),
    *("198.51.100.7", "203.0.113.7", "192.0.0.1", "::", "ff02::1", "2001:db8::1", "100::1", "3fff::1", "5f00::1"),
]
LINK_LOCAL = ["169.254.0.1", "169.254.170.2", "fe80::1", "febf::1"]
HIDDEN = {
    "mapped": "::ffff:127.0.0.1",
    "mapped, in hex": "::ffff:a9fe:a9fe",
    "compatible": "::127.0.0.1",
    "NAT64": "64:ff9b::169.254.169.254",
    "NAT64 of a network's own": "64:ff9b:1::10.0.0.1",
    "6to4": "2002:7f00:1::",
    "Teredo, the client": "2001:0:808:808:0:0:80ff:fffe",
    "Teredo, the server": "2001:0:7f00:1:0:0:f7f7:f7f7",
}
SPELLINGS = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "017700000001", "localhost", "LOCALHOST"]
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8", "2002:808:808::1", "::ffff:8.8.8.8"]


def refused(address, *allow):
    with pytest.raises(AddressRefused) as caught:
        NetworkPolicy(allow=allow).check(address, 80)
    return caught.value


@pytest.mark.parametrize("address", [*METADATA, *PRIVATE, *LOOPBACK, *RESERVED, *LINK_LOCAL])
def test_nothing_but_public_addresses_is_reached(address):
    error = refused(address)
    assert address in error.message
    assert "ASSAY_HTTP_ALLOW_PRIVATE" in error.hint
    assert not error.retryable


@pytest.mark.parametrize("address", HIDDEN.values(), ids=HIDDEN.keys())
def test_an_address_inside_of_another_is_found(address):
    refused(address)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_other_spellings_of_an_address_are_the_same_address(spelling):
    refused(spelling)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address):
    [found] = NetworkPolicy().check(address, 443)
    assert found[1] == 443


@pytest.mark.parametrize("address", [*PRIVATE, *LOOPBACK])
def test_a_star_opens_what_is_private(address):
    assert NetworkPolicy(allow=("*",)).check(address, 80)


@pytest.mark.parametrize("address", [*METADATA, *LINK_LOCAL, *RESERVED, "::ffff:169.254.169.254"])
def test_a_star_does_not_open_what_hands_out_credentials_or_is_no_host(address):
    refused(address, "*")


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.0.0.0/8", "::ffff:10.1.2.3"),
        ("localhost", "localhost"),
        ("LocalHost.", "localhost"),
        ("::1", "::1"),
        ("169.254.0.0/16", "169.254.3.4"),
        ("169.254.169.254", "169.254.169.254"),
        ("fd00:ec2::254", "fd00:ec2::254"),
    ],
)
def test_an_entry_opens_what_it_names(entry, address):
    assert NetworkPolicy(allow=(entry,)).check(address, 80)


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("10.0.0.0/8", "192.168.1.1"),
        ("localhost", "127.0.0.1"),
        ("100.64.0.0/10", "100.100.100.200"),  # somebody's own network does not mean the metadata inside of it
        ("169.254.0.0/16", "169.254.169.254"),
        ("0.0.0.0/0", "169.254.169.254"),
        ("::/0", "fd00:ec2::254"),
    ],
)
def test_an_entry_opens_nothing_else(entry, address):
    refused(address, entry)


def test_a_name_among_the_entries_does_not_open_metadata(monkeypatch):
    resolve_to(monkeypatch, "169.254.169.254")
    error = refused("intranet.example", "intranet.example")
    assert "169.254.169.254" in error.hint


def test_one_private_address_among_several_is_enough_to_refuse(monkeypatch):
    resolve_to(monkeypatch, "93.184.216.34", "10.0.0.5")
    assert "10.0.0.5" in refused("two.example").message


def test_a_name_that_nobody_knows_may_be_known_later():
    for name in ("no-such-host.invalid", "", "x" * 70 + ".example", "a b"):
        with pytest.raises(SourceUnavailable):
            NetworkPolicy().check(name, 80)


def test_the_hint_names_the_setting_of_the_policy():
    with pytest.raises(AddressRefused) as caught:
        NetworkPolicy(setting="ASSAY_CONNECTIONS_ALLOW_PRIVATE").check("10.0.0.1", 5432)
    assert "ASSAY_CONNECTIONS_ALLOW_PRIVATE" in caught.value.hint


# --- connecting --------------------------------------------------------------------------


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_socket_goes_to_the_address_that_was_checked(listener):
    with connect(NetworkPolicy(allow=("127.0.0.1",)), "127.0.0.1", listener.getsockname()[1], 5) as opened:
        assert opened.getpeername() == listener.getsockname()


def test_no_socket_is_opened_to_what_is_refused(listener):
    listener.settimeout(0.2)
    with pytest.raises(AddressRefused):
        connect(NetworkPolicy(), "127.0.0.1", listener.getsockname()[1], 5)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_where_nobody_listens_the_message_says_which_place():
    with closed_port() as port, pytest.raises(SourceUnavailable, match=f"127.0.0.1:{port} cannot be reached"):
        connect(NetworkPolicy(allow=("*",)), "127.0.0.1", port, 5)


def test_of_several_addresses_a_driver_gets_the_one_that_answers(monkeypatch, listener):
    resolve_to(monkeypatch, "127.0.0.77", "127.0.0.1")
    assert checked_address(NetworkPolicy(allow=("*",)), "db.example", listener.getsockname()[1]) == "127.0.0.1"


def resolve_to(monkeypatch, *addresses):
    """The wire: a name server that answers with these."""
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *args, **more: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses],
    )
