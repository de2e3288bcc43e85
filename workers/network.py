"""Which addresses Assay may connect to, and the only roads on which it connects.

A name is resolved once, every address it has is checked, and the connection
goes to a checked address: a name that resolves differently a moment later
(DNS rebinding) changes nothing.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from .errors import AddressRefused, SourceUnavailable

if TYPE_CHECKING:
    import requests

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Sockaddr = tuple[str, int] | tuple[str, int, int, int]

CONNECT_SECONDS = 10.0

# What a wildcard never opens: only an entry inside of the network does. The narrowest comes first.
_GUARDED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), what)
    for network, what in (
        # They hand out a cloud machine's credentials.
        ("169.254.169.254/32", "a cloud metadata address"),
        ("169.254.170.2/32", "a cloud metadata address"),
        ("100.100.100.200/32", "a cloud metadata address"),
        ("168.63.129.16/32", "a cloud metadata address"),
        ("192.0.0.192/32", "a cloud metadata address"),
        ("fd00:ec2::254/128", "a cloud metadata address"),
        ("fd20:ce::254/128", "a cloud metadata address"),
        ("169.254.0.0/16", "a link-local address"),
        ("fe80::/10", "a link-local address"),
        ("0.0.0.0/8", "an unspecified address"),
        ("::/128", "an unspecified address"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a reserved address"),
        ("192.88.99.0/24", "a reserved address"),
        ("198.51.100.0/24", "a reserved address"),
        ("203.0.113.0/24", "a reserved address"),
        ("240.0.0.0/4", "a reserved address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a reserved address"),
        ("3fff::/20", "a reserved address"),
    )
)
_PRIVATE: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), what)
    for network, what in (
        ("127.0.0.0/8", "a loopback address"),
        ("::1/128", "a loopback address"),
        ("10.0.0.0/8", "a private address"),
        ("172.16.0.0/12", "a private address"),
        ("192.168.0.0/16", "a private address"),
        ("100.64.0.0/10", "a private address"),  # carrier-grade NAT
        ("198.18.0.0/15", "a private address"),  # benchmarks of networks
        ("fc00::/7", "a private address"),
        ("fec0::/10", "a private address"),  # the old site-local ones
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_ANY_V6 = IPv6Network("::/0")
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """Public addresses are allowed; private, loopback and link-local ones only where `allow` names them.

    `allow` holds host names, addresses and networks (`10.0.0.0/8`); `*` is
    every private and loopback address. What hands out a cloud machine's
    credentials, link-local, multicast and reserved addresses are opened only
    by an entry that names just them: `169.254.169.254`, `169.254.0.0/16`.
    """

    allow: tuple[str, ...] = ()
    setting: str = "ASSAY_HTTP_ALLOW_PRIVATE"  # where a person changes `allow`

    def check(self, host: str, port: int | None = None) -> list[Sockaddr]:
        """The addresses of the host, each allowed, in the resolver's order.

        Raises `AddressRefused` if any of them is not, `SourceUnavailable` if the host has none.
        """
        found = _resolve(host, port)
        for address in found:
            self._check_address(host, str(address[0]))
        return found

    def _check_address(self, host: str, written: str) -> None:
        for address in _meant(ip_address(written.partition("%")[0])):
            kind = self._refusal(host, address)
            if kind:
                shown = host if host == written else f"{host} ({written})"
                entry = address if _guarded(address) else host  # a name does not open what is guarded
                raise AddressRefused(
                    f"{shown} is {kind}: Assay does not connect to it.",
                    hint=f"If it should, add “{entry}” to {self.setting}.",
                )

    def _refusal(self, host: str, address: Address) -> str:
        """What kind of address it is, if it must not be reached; else nothing."""
        if guarded := _guarded(address):
            network, kind = guarded
            return "" if any(_covers(entry, address, network) for entry in self._networks()) else kind
        kind = next((what for network, what in _PRIVATE if address in network), "")
        if not kind or "*" in self.allow or self._names(host):
            return ""
        return "" if any(address in entry for entry in self._networks()) else kind

    def _names(self, host: str) -> bool:
        return host.rstrip(".").lower() in {entry.strip().rstrip(".").lower() for entry in self.allow}

    def _networks(self) -> list[Network]:
        return [network for entry in self.allow if (network := _as_network(entry))]


def connect(policy: NetworkPolicy, host: str, port: int, timeout: float = CONNECT_SECONDS) -> socket.socket:
    """A socket that is connected to a checked address of the host.

    Raises `AddressRefused`, or `SourceUnavailable` where nothing answers within `timeout` seconds for each address.
    """
    try:
        return open_socket(policy.check(host, port), timeout)
    except OSError as error:
        reason = "it did not answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        raise SourceUnavailable(
            f"{host}:{port} cannot be reached: {reason}.", hint="Check host and port, and that the server runs."
        ) from error


def open_socket(addresses: list[Sockaddr], timeout: float | None) -> socket.socket:
    """The first of these addresses that answers. Raises OSError, the last one's."""
    failed: OSError = OSError("no address")
    for address in addresses:
        family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(timeout)
            opened.connect(address)
        except OSError as error:
            opened.close()
            failed = error
        else:
            return opened
    raise failed


def checked_address(policy: NetworkPolicy, host: str, port: int) -> str:
    """One checked address of the host, for drivers that connect by themselves (libpq's `hostaddr`).

    Of several it is the first that answers, because such a driver would try no other.
    Raises what `check` raises.
    """
    found = policy.check(host, port)
    for address in found[:-1]:
        try:
            open_socket([address], CONNECT_SECONDS).close()
        except OSError:
            continue
        return str(address[0])
    return str(found[-1][0])


def session(policy: NetworkPolicy, *, max_redirects: int = 5) -> requests.Session:
    """An HTTP client whose every connection is checked, redirects included (http_client.py)."""
    from .http_client import CheckedSession  # requests takes a moment to import, and most steps need none

    return CheckedSession(policy, max_redirects)


# --- addresses ---------------------------------------------------------------------------


def _resolve(host: str, port: int | None) -> list[Sockaddr]:
    host = host.strip("[]")
    if not host:
        raise SourceUnavailable("There is no host to connect to.", hint="Name one.")
    try:
        # What looks like a number in another spelling (2130706433, 0x7f.1) is resolved here as well, then checked.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceUnavailable(
            f"The host “{host}” cannot be found.", hint="Check its spelling, and that this machine can resolve it."
        ) from error
    addresses = list(dict.fromkeys(entry[4] for entry in found if entry[0] in (socket.AF_INET, socket.AF_INET6)))
    if not addresses:
        raise SourceUnavailable(f"The host “{host}” has no address.")
    return addresses


def _meant(address: Address) -> list[Address]:
    """The address, or those of IPv4 that it leads to."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.teredo:
        return list(address.teredo)
    if address.sixtofour:
        return [address.sixtofour]
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def _guarded(address: Address) -> tuple[Network, str] | None:
    for network, what in _GUARDED:
        if address in network:
            return network, what
    private = any(address in network for network, _ in _PRIVATE)
    if isinstance(address, IPv6Address) and not private and address not in _PUBLIC_V6:
        return _ANY_V6, "a reserved address"
    return None


def _covers(entry: Network, address: Address, network: Network) -> bool:
    return entry.version == network.version and address in entry and entry.subnet_of(network)


def _as_network(entry: str) -> Network | None:
    try:
        return ip_network(entry.strip().strip("[]"), strict=False)
    except ValueError:
        return None  # `*`, or a host's name
