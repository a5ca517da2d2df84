"""How much of the Internet a list of address ranges stands for, however it is cut up."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

_WIDEST = {4: 8, 6: 16}
"""The shortest prefix that can be somebody's own: a tenth of the Internet is nobody's office."""


def whole_internet(ranges: Iterable[str]) -> bool:
    """Return whether address ranges together take in what no one organisation has: 0.0.0.0/0, its halves, its quarters.

    Raise ValueError for what is no range.
    """
    networks = [ip_network(text, strict=False) for text in ranges]
    joined = [
        *collapse_addresses(network for network in networks if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in networks if isinstance(network, IPv6Network)),
    ]
    return any(network.prefixlen < _WIDEST[network.version] for network in joined)
