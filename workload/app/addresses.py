"""Which addresses a stranger may make us call: public web servers, and nothing of ours.

`Guard.target` refuses by the text of a URL, `Guard.addresses` by what its name resolves to. The fetch connects to the
addresses that were checked, never to the name, so a DNS server that answers differently the second time gains nothing.
"""

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str], list[str]]

MAX_URL_LENGTH = 2048
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_SAFE_IN_PATH = (
    "/?%:@!$&'()*+,;=~[]"  # quote() is for what is not ASCII; what the sender has already quoted stays as it is
)
PUBLIC_PORTS = frozenset({80, 443})
# Names that only mean something inside a cluster, a cloud network or a house.
PRIVATE_SUFFIXES = (
    "localhost",
    "local",
    "svc",
    "internal",
    "intranet",
    "private",
    "corp",
    "lan",
    "home",
    "home.arpa",
    "arpa",
    "test",
    "invalid",
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that is routed publicly today. The rest of IPv6 is local, embeds an IPv4 address or is not assigned.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Global by registration, yet: 6to4 and Teredo carry an IPv4 address of the sender's choice, the others are not hosts.
NOT_HOSTS = tuple(
    ipaddress.ip_network(text) for text in ("2001::/32", "2002::/16", "3fff::/20", "192.88.99.0/24", "192.0.0.0/24")
)


class Refused(Exception):  # noqa: N818 - it is an answer
    """The URL will never be fetched; the message says why and is shown to whoever submitted it."""


class Unresolved(Exception):  # noqa: N818
    """The name has no address now; it may have one later."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in normal form, in its parts."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def system_lookup(host: str) -> list[str]:
    """Ask the C library, as everything else on this machine would."""
    return [str(answer[4][0]) for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Guard:
    """The one place that decides. `allowed_hosts` are exact names that may resolve to private addresses."""

    allowed_hosts: frozenset[str] = frozenset()
    lookup: Lookup = field(default=system_lookup)

    def target(self, url: str) -> Target:
        """Return the parts of a URL, unless its text alone forbids it."""
        if len(url) > MAX_URL_LENGTH:
            raise Refused(f"the URL is longer than {MAX_URL_LENGTH} characters")
        # Parsers disagree on these characters (some strip, some split): a URL with one of them means two things.
        if "\\" in url or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url):
            raise Refused("the URL contains a space, a control character or a backslash")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as problem:
            raise Refused(f"the URL is malformed: {problem}") from None
        if parts.scheme not in ("http", "https"):
            raise Refused("only http and https URLs are fetched")
        if "@" in parts.netloc:
            raise Refused("the URL contains credentials")
        host = _normal_host(parts.hostname or "")
        port = (443 if parts.scheme == "https" else 80) if port is None else port
        if host not in self.allowed_hosts:
            _refuse_private_name(host)
            if port not in PUBLIC_PORTS:
                raise Refused(f"port {port} is not a public web port (80 or 443)")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.scheme, host, port, quote(path, safe=_SAFE_IN_PATH))

    def addresses(self, host: str, timeout: float) -> list[str]:
        """Return where to connect. One bad answer among good ones refuses them all: that name plays games."""
        answers = [host] if _literal(host) else self._answers(host, timeout)
        for answer in answers:
            reason = _unreachable(ipaddress.ip_address(answer.partition("%")[0]), anything=host in self.allowed_hosts)
            if reason:
                raise Refused(f"{host} is {answer}, {reason}" if answer != host else f"{host} is {reason}")
        return answers

    def _answers(self, host: str, timeout: float) -> list[str]:
        # The C library's resolver takes as long as resolv.conf says (minutes, with a search list), hence the thread.
        result: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                result.put(self.lookup(host))
            except (OSError, UnicodeError) as problem:
                result.put(problem)

        threading.Thread(target=look_up, name=f"lookup {host}", daemon=True).start()
        try:
            answer = result.get(timeout=max(timeout, 0.001))
        except queue.Empty:
            raise Unresolved(f"{host}: the name server did not answer in time") from None
        if isinstance(answer, Exception) or not answer:
            raise Unresolved(f"{host}: the name has no address")
        return answer


def _normal_host(host: str) -> str:
    """Lower case, ASCII, no trailing dot: IDNA maps full-width digits and dots to plain ones, as a resolver would."""
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise Refused("the host name is malformed") from None
    ascii_host = ascii_host.lower().removesuffix(".")
    labels = ascii_host.split(".")
    well_formed = all(label and len(label) <= 63 and set(label) <= _LABEL for label in labels)
    if not ((well_formed and len(ascii_host) <= 253) or (_literal(ascii_host) and "%" not in ascii_host)):
        raise Refused("the host name is malformed" if host else "the URL has no host")
    return ascii_host


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refuse_private_name(host: str) -> None:
    literal = _literal(host)
    if literal:
        reason = _unreachable(literal, anything=False)
        if reason:
            raise Refused(f"{host} is {reason}")
        return
    try:
        socket.inet_aton(host)  # accepts what browsers and C libraries do: 2130706433, 0x7f.1, 0177.0.0.1
    except OSError:
        if host.rpartition(".")[2].isdigit():
            raise Refused(f"{host} is not a host name") from None
    else:
        raise Refused(f"{host} is an address in disguise: write it as four decimal numbers")
    if "." not in host or any(host == suffix or host.endswith(f".{suffix}") for suffix in PRIVATE_SUFFIXES):
        raise Refused(f"{host} is a private name")


def _unreachable(address: Address, *, anything: bool) -> str | None:
    """Why this address is not called, or None. `anything`: allowed by name, which never includes a metadata service."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:  # what a DNS64 server makes of a public IPv4 address
            return _unreachable(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF), anything=anything)
        if address.ipv4_mapped:
            return "an IPv4 address written as IPv6"
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return "a link-local, multicast or unspecified address"
    if anything:
        return None
    public = address.is_global and not address.is_reserved and not any(address in network for network in NOT_HOSTS)
    if address.version == 6:
        public = public and address in GLOBAL_UNICAST
    return None if public else "not a public address"
