"""The machine's network as the node needs it: an address, routes that let nothing out, forwarding, a firewall.

Whatever is changed here is put back by `remove`.
"""

import ipaddress
import shlex
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from local.command import output
from local.node import before
from local.node.layout import DEVICE, NODE_ADDRESS, POD_BRIDGE, POD_RANGE, PORTS, SERVICE_RANGE

_OWNED = ("PLATFORM-NODE", "KUBE-", "CNI-")
_OWNED_SETS = ("kube-router-", "KUBE-")
_ALLOWED = "-m mark --mark 0x20000/0x20000 -j ACCEPT"
_ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def prepare() -> None:
    """Set the network up. Run again, it repairs what is missing and leaves the rest alone."""
    for name, value in before.SETTINGS.items():
        if value is not None:
            before.write_setting(name, value)
    if not Path(f"/sys/class/net/{DEVICE}").exists():
        output(["ip", "link", "add", DEVICE, "type", "bridge"])
    output(["ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", DEVICE])
    output(["ip", "link", "set", DEVICE, "up"])
    # A packet for a pod or a service that nothing has caught ends on a bridge without ports and stays on the machine.
    # The pod bridge's own route has a better metric.
    for network in (POD_RANGE, SERVICE_RANGE):
        output(["ip", "route", "replace", network, "dev", DEVICE, "metric", "4096"])
    for table, hook, rules in _rules():
        _install(table, hook, rules)


def remove() -> None:
    """Delete the devices, rules and sets of the node, and give the kernel's settings back their values."""
    for command in ("iptables", "ip6tables"):
        saved = output([f"{command}-save"])
        removal = removal_of(saved)
        if removal:
            _restore(command, removal)
    for name in output(["ipset", "list", "-name"]).splitlines():
        if name.removeprefix("inet6:").startswith(_OWNED_SETS):
            output(["ipset", "destroy", name])
    for device in (POD_BRIDGE, DEVICE):
        if Path(f"/sys/class/net/{device}").exists():
            output(["ip", "link", "delete", device])
    before.restore_settings()


def removal_of(saved: str) -> str:
    """Return what makes `iptables-restore --noflush` delete the node's chains in `saved` and what leads to them."""
    result: list[str] = []
    table = ""
    chains: list[str] = []
    jumps: list[str] = []
    for line in saved.splitlines():
        words = line.split()
        if line.startswith("*"):
            table, chains, jumps = line, [], []
        elif line.startswith(":") and words[0][1:].startswith(_OWNED):
            chains.append(words[0][1:])
        elif line.startswith("-A") and not words[1].startswith(_OWNED) and _leads_to_owned(line):
            jumps.append(line.replace("-A", "-D", 1))
        elif line == "COMMIT" and (chains or jumps):
            flushed, deleted = ([f"{option} {chain}" for chain in chains] for option in ("-F", "-X"))
            result += [table, *jumps, *flushed, *deleted, "COMMIT"]
    return "\n".join([*result, ""]) if result else ""


def _leads_to_owned(rule: str) -> bool:
    # Split as a shell would: a comment may say anything, in quotes.
    return any(word in ("-j", "-g") and target.startswith(_OWNED) for word, target in pairwise(shlex.split(rule)))


def _rules() -> Sequence[tuple[str, str, tuple[str, ...]]]:
    """Return the table, the built-in chain that leads to ours, and the rules of ours."""
    ports = sorted(port for group in PORTS.values() for port in group)
    dns = f"-s {POD_RANGE} -p udp -m udp --dport 53 -d {POD_RANGE} -j ACCEPT"
    return (
        # Nobody outside reaches the control plane. It listens on every address: pods and the machine itself need it.
        (
            "raw",
            "PREROUTING",
            (
                f"-i {POD_BRIDGE} -j RETURN",
                "-i lo -j RETURN",
                *(f"-d {network} -j DROP" for network in (POD_RANGE, SERVICE_RANGE, NODE_ADDRESS)),
                *(f"-p tcp -m tcp --dport {port} -m addrtype --dst-type LOCAL -j DROP" for port in ports),
            ),
        ),
        ("nat", "POSTROUTING", (f"-s {POD_RANGE} ! -o {POD_BRIDGE} -j MASQUERADE",)),
        # These two come last in their chains, after NetworkPolicy. kube-router marks what the policies of either end
        # let through. A pod's packet without the mark is one of a pod that it does not know yet (the first second of
        # its life, or kube-router is down) to somebody who has not let it in, and would pass. It is dropped, not
        # rejected, so that TCP just tries again. Names are let through: resolvers wait five seconds before they do.
        ("filter", "FORWARD", (_ALLOWED, _ESTABLISHED, dns, f"-s {POD_RANGE} -j DROP", f"-d {POD_RANGE} -j DROP")),
        (
            "filter",
            "INPUT",
            (_ALLOWED, _ESTABLISHED, f"-s {POD_RANGE} -p tcp -j DROP", f"-s {POD_RANGE} -p udp -j DROP"),
        ),
    )


def _install(table: str, hook: str, rules: Sequence[str]) -> None:
    chain = f"PLATFORM-NODE-{hook}"
    saved = output(["iptables-save", "-t", table]).splitlines()
    lines = [f"*{table}", f":{chain} - [0:0]", f"-F {chain}", *(f"-A {chain} {rule}" for rule in rules)]
    if f"-A {hook} -j {chain}" not in saved:
        lines.append(f"-A {hook} -j {chain}")
    _restore("iptables", "\n".join([*lines, "COMMIT", ""]))


def _restore(command: str, rules: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".rules") as file:
        file.write(rules)
        file.flush()
        output([f"{command}-restore", "--noflush", file.name])


def overlapping(table: str) -> str:
    """Return the first route in `table` (as in /proc/net/route) that crosses the node's own ranges, or ""."""
    ours = [ipaddress.ip_network(text) for text in (POD_RANGE, SERVICE_RANGE, f"{NODE_ADDRESS}/32")]
    for line in table.splitlines()[1:]:
        device, destination, _, _, _, _, _, mask = line.split()[:8]
        network = ipaddress.ip_network(f"{_address(destination)}/{_address(mask)}")
        if network.prefixlen and device not in (DEVICE, POD_BRIDGE) and any(network.overlaps(other) for other in ours):
            return f"{network} dev {device}"
    return ""


def _address(text: str) -> str:
    """Return what the kernel writes as hexadecimal digits in the machine's own order of bytes."""
    return str(ipaddress.ip_address(int(text, 16).to_bytes(4, sys.byteorder)))
