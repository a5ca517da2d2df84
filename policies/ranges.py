"""Sets of numbers, kept as ranges: ports by protocol, addresses by version. Exact however a set was cut into pieces."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Range = tuple[str, int, int]  # of what family, the first, the last


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of numbers of some families. Build one with `of`, which joins what overlaps or touches."""

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, given: Iterable[Range]) -> "Ranges":
        """Return the set of all that is in any of the ranges."""
        joined: list[Range] = []
        for family, first, last in sorted(given):
            if joined and joined[-1][0] == family and first <= joined[-1][2] + 1:
                joined[-1] = (family, joined[-1][1], max(joined[-1][2], last))
            else:
                joined.append((family, first, last))
        return cls(tuple(joined))

    def __or__(self, other: "Ranges") -> "Ranges":
        """Return what is in either."""
        return Ranges.of((*self.ranges, *other.ranges))

    def __and__(self, other: "Ranges") -> "Ranges":
        """Return what is in both."""
        return Ranges.of(
            (family, max(first, start), min(last, end))
            for family, first, last in self.ranges
            for which, start, end in other.ranges
            if which == family and max(first, start) <= min(last, end)
        )

    def __sub__(self, other: "Ranges") -> "Ranges":
        """Return what is in this one and not in the other."""
        return Ranges(tuple(piece for each in self.ranges for piece in _without(each, other.ranges)))

    def __contains__(self, number: tuple[str, int]) -> bool:
        """Return whether a number of a family is in it."""
        return any(family == number[0] and first <= number[1] <= last for family, first, last in self.ranges)

    def __bool__(self) -> bool:
        """Return whether anything is in it."""
        return bool(self.ranges)


def _without(whole: Range, holes: Iterable[Range]) -> Iterator[Range]:
    family, first, last = whole
    for which, start, end in holes:  # in order, as `of` left them
        if which == family and first <= end and start <= last:
            if first < start:
                yield family, first, start - 1
            first = end + 1
    if first <= last:
        yield family, first, last


PROTOCOLS = ("TCP", "UDP", "SCTP")
ALL_PORTS = Ranges.of((protocol, 0, 65535) for protocol in PROTOCOLS)


def _network(cidr: str) -> Range:
    # Kubernetes takes 10.1.2.3/8 for 10.0.0.0/8.
    network: IPv4Network | IPv6Network = ip_network(cidr, strict=False)
    return f"IPv{network.version}", int(network.network_address), int(network.broadcast_address)


def addresses(*cidrs: str) -> Ranges:
    """Return the addresses of some networks; raise ValueError for what is none."""
    return Ranges.of(_network(cidr) for cidr in cidrs)


def address(text: str) -> tuple[str, int]:
    """Return an address as a number of its family."""
    found = ip_address(text)
    return f"IPv{found.version}", int(found)


_LARGEST = {"IPv4": 2**24, "IPv6": 2**112}
"""How many addresses can be somebody's own, a /8 or a /16: a tenth of the Internet is nobody's office."""


def whole_internet(cidrs: Iterable[str]) -> bool:
    """Return whether networks together take in what no one organisation has: 0.0.0.0/0, its halves, its quarters.

    Raise ValueError for what is no network.
    """
    return any(last - first >= _LARGEST[family] for family, first, last in addresses(*cidrs).ranges)


_NOT_THE_INTERNET = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
EVERYWHERE = addresses("0.0.0.0/0", "::/0")
PRIVATE = addresses(*_NOT_THE_INTERNET, "::/0") - addresses("2000::/3")
"""Where clusters, their pods and their nodes are (RFC 6890): all of IPv6 that is not assigned to the Internet is held to be so."""

METADATA = addresses(
    "169.254.0.0/16",  # nearly every cloud, at .169.254 and .170.2, and NodeLocal DNS, which policies see as kube-dns
    "fd00:ec2::/32",  # Amazon
    "100.100.100.200/32",  # Alibaba
    "192.0.0.192/32",  # Oracle, of old
    "168.63.129.16/32",  # Azure's wire server: a public address that only its own machines reach
)
"""Where a cloud tells a machine who it is, and gives it its credentials."""
