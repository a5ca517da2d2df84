"""Who reaches whom: connections tried from inside a network namespace, and namespaces that play the world outside."""

import json
import subprocess
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

Address = tuple[str, int]

# Tries every target at once and prints those that accept.
_CONNECT = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def accepts(target):
    try:
        socket.create_connection(tuple(target), timeout=2).close()
        return True
    except OSError:
        return False
targets = json.load(sys.stdin)
with ThreadPoolExecutor(64) as pool:
    print(json.dumps([target for target, yes in zip(targets, pool.map(accepts, targets)) if yes]))
"""

# Answers each connection to any of its addresses and ports, and closes it.
_SERVE = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for address in sys.argv[1].split(","):
    for port in sys.argv[2].split(","):
        selector.register(socket.create_server((address, int(port))), selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(b"served")
        connection.close()
"""
MACHINE: Sequence[str] = ()
"""This machine's own network, as a prefix of a command."""


def pod(process: int) -> list[str]:
    """Return the prefix of a command that runs in the network of a process, where every packet is its pod's."""
    return ["nsenter", f"--net=/proc/{process}/ns/net"]


def reached(where: Sequence[str], targets: Iterable[Address]) -> set[Address]:
    """Return the targets that accept a connection from `where`, the prefix of a command."""
    done = subprocess.run(
        [*where, sys.executable, "-c", _CONNECT],
        input=json.dumps(list(targets)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {(address, port) for address, port in json.loads(done.stdout)}


@contextmanager
def serving(where: Sequence[str], *ports: int, addresses: Sequence[str] = ("",)) -> Generator[None]:
    """Answer `served` on TCP ports of `where`, the prefix of a command, meanwhile."""
    listed = [",".join(addresses), ",".join(str(port) for port in ports)]
    with subprocess.Popen([*where, sys.executable, "-c", _SERVE, *listed], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


@contextmanager
def namespace(name: str, *, machine: str, routed: Sequence[str] = (), addresses: Sequence[str]) -> Generator[list[str]]:
    """Make a network namespace beside this machine, whose address there is `machine`; give the prefix of its commands.

    It has `addresses`, sends everything to the machine, and is sent what is for `routed`. All are written with a mask, the
    narrowest that will do: meanwhile the machine reaches nobody else in those ranges, and its proxy may have an address there.
    """
    link = name.rpartition("-")[2][:14] + "0"
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    _ip("netns", "add", name)
    try:
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", machine, "dev", link)
        _ip("link", "set", link, "up")
        for network in routed:
            _ip("route", "add", network, "dev", link)
        for address in addresses:
            _ip("-netns", name, "address", "add", address, "dev", "eth0")
        _ip("-netns", name, "link", "set", "eth0", "up")
        _ip("-netns", name, "route", "add", "default", "via", machine.partition("/")[0])
        yield ["ip", "netns", "exec", name]
    finally:
        _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
