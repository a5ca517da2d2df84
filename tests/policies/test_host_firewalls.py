"""What a firewall of the nodes opens is read out of its rules, and what cannot be read is no opening to rely on."""

from typing import Any

import pytest

from policies.host_firewalls import HostFirewall, host_firewalls, reached
from policies.ranges import whole_internet
from policies.rule import Unreadable, UnreadableError

Manifest = dict[str, Any]
METADATA: Manifest = {"namespace": "edge", "name": "nft", "labels": {"app.kubernetes.io/component": "firewall"}}
ALL = [("TCP", 0, 65535), ("UDP", 0, 65535)]


def nftables(*statements: str, policy: str = "drop", hook: str = "input") -> HostFirewall:
    rules = "\n  ".join(statements)
    text = (
        f"table inet host {{\n chain in {{\n  type filter hook {hook} priority 0; policy {policy};\n  {rules}\n }}\n}}"
    )
    config: Manifest = {"kind": "ConfigMap", "metadata": METADATA, "data": {"a.nft": text}}
    pod: Manifest = {"hostNetwork": True, "containers": [{}], "volumes": [{"configMap": {"name": "nft"}}]}
    loader: Manifest = {
        "kind": "DaemonSet",
        "metadata": {"namespace": "edge", "name": "nft"},
        "spec": {"template": {"spec": pod}},
    }
    (found,) = host_firewalls([config, loader])
    return found


def opened(firewall: HostFirewall) -> list[tuple[str, int, int]]:
    return [opening[:3] for opening in firewall.openings]


@pytest.mark.parametrize(
    ("statement", "openings"),
    [
        ("tcp dport 443 accept", [("TCP", 443, 443)]),
        ("tcp dport { 80, 443 } accept", [("TCP", 80, 80), ("TCP", 443, 443)]),
        ('udp dport 51820-51830 counter accept comment "vpn"', [("UDP", 51820, 51830)]),
        ("ct state established,related accept", []),
        ("ct state { established, related } accept", []),
        ("ct state new accept", ALL),
        ("ct state { established, related, new } accept", ALL),
        ("ct state established ,new accept", ALL),
        ("iif lo accept", []),
        ('iifname "lo" accept', []),
        ('iifname "eth0" accept', ALL),
        ("ip protocol icmp accept", []),
        ("meta l4proto icmpv6 accept", []),
        ("meta l4proto { icmp, tcp } accept", ALL),
        ("icmpv6 type echo-request accept", []),
        ("ip saddr 10.0.0.0/8 tcp dport 22 accept", []),
        ("ip saddr { 0.0.0.0/1, 128.0.0.0/1 } tcp dport 22 accept", [("TCP", 22, 22)]),
        ("ip6 saddr ::/0 tcp dport 22 accept", [("TCP", 22, 22)]),
        ("accept", ALL),
        ("tcp dport 22 drop", []),
        ("# tcp dport 22 accept", []),
    ],
)
def test_what_a_ruleset_accepts_is_open(statement: str, openings: list[tuple[str, int, int]]) -> None:
    assert opened(nftables(statement)) == openings


def test_only_what_says_that_it_is_a_firewall_is_read() -> None:
    unknown = {"kind": "ConfigMap", "data": {"a.nft": Unreadable("data", "not known yet")}}
    assert host_firewalls([unknown]) == []
    with pytest.raises(UnreadableError):
        host_firewalls([{**unknown, "metadata": METADATA}])


def test_a_ruleset_drops_where_its_policy_says_so() -> None:
    assert nftables().drops
    assert nftables(hook="prerouting").drops
    assert not nftables(policy="accept").drops
    assert not nftables(hook="output").drops


@pytest.mark.parametrize(
    "statement", ["tcp dport 22 jump ssh", "tcp dport $ssh accept", "ip saddr @office tcp dport 22 accept"]
)
def test_what_a_ruleset_says_elsewhere_cannot_be_judged(statement: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        nftables(statement)


@pytest.mark.parametrize(
    ("rule", "openings"),
    [
        ({}, []),
        ({"fromEntities": ["cluster"]}, []),
        ({"fromEntities": ["world"]}, ALL),
        ({"fromEntities": ["cluster", "all"]}, ALL),
        ({"fromCIDR": ["0.0.0.0/0"], "toPorts": [{"ports": [{"port": "22"}]}]}, [("TCP", 22, 22), ("UDP", 22, 22)]),
        ({"toPorts": [{"ports": [{"port": 443, "protocol": "TCP"}]}]}, [("TCP", 443, 443)]),
        ({"toPorts": [{"ports": [{"port": "80", "endPort": 90, "protocol": "TCP"}]}]}, [("TCP", 80, 90)]),
        ({"toPorts": [{"ports": [{"port": "0", "protocol": "TCP"}]}]}, [("TCP", 0, 65535)]),
    ],
)
def test_what_cilium_allows_from_outside_is_open(rule: Manifest, openings: list[tuple[str, int, int]]) -> None:
    policy: Manifest = {"kind": "CiliumClusterwideNetworkPolicy", "spec": {"nodeSelector": {}, "ingress": [rule]}}
    (found,) = host_firewalls([policy])
    assert opened(found) == openings
    assert found.drops


def test_ports_are_reached_by_gateways_balancers_and_the_network_of_nodes() -> None:
    manifests: list[Manifest] = [
        {
            "kind": "Gateway",
            "spec": {"listeners": [{"port": "443", "protocol": "HTTPS"}, {"port": 53, "protocol": "UDP"}]},
        },
        {"kind": "Gateway", "metadata": {"labels": {"exposure": "internal"}}, "spec": {"listeners": [{"port": 1}]}},
        {"kind": "Service", "spec": {"type": "LoadBalancer", "ports": [{"port": 25}]}},
        {"kind": "Service", "spec": {"ports": [{"port": 8080}]}},
        {
            "kind": "Pod",
            "spec": {"initContainers": [{"ports": [{"containerPort": 1, "hostPort": 2, "protocol": "UDP"}]}]},
        },
        {"kind": "Pod", "spec": {"hostNetwork": True, "containers": [{"ports": [{"containerPort": 9100}]}]}},
    ]
    assert [found[:2] for found in reached(manifests)] == [
        ("TCP", 443),
        ("UDP", 53),
        ("TCP", 25),
        ("UDP", 2),
        ("TCP", 9100),
    ]


@pytest.mark.parametrize(
    ("ranges", "whole"),
    [
        (["0.0.0.0/0"], True),
        (["::/0"], True),
        (["0.0.0.0/1", "128.0.0.0/1"], True),
        (["11.0.0.0/8", "10.0.0.0/8"], True),
        (["9.0.0.0/8", "10.1.2.3/8"], True),
        (["2000::/3"], True),
        (["10.0.0.0/8", "192.168.0.0/16", "fd00::/16"], False),
        (["192.0.2.7"], False),
        ([], False),
    ],
)
def test_ranges_are_the_internet_however_they_are_cut_up(ranges: list[str], whole: bool) -> None:
    assert whole_internet(ranges) is whole
