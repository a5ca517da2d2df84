"""The evaluator, where cyclonus is no judge: addresses that are not known, ranges, pods that operators make, and our own table."""

from collections.abc import Sequence
from typing import Any

import pytest

from policies.plain import plain
from policies.published import facing
from policies.ranges import ALL_PORTS, EVERYWHERE, METADATA, PRIVATE, Ranges, address, addresses
from policies.reachability import Network
from policies.rule import Manifest, UnreadableError
from policies.running import Pod, running
from policies.selectors import matcher, pinned
from tests.policies.servicer import UNKNOWN
from tests.render import STACKS, committed

NAME = "kubernetes.io/metadata.name"


def pod(name: str, namespace: str = "app", **spec: Any) -> Manifest:
    labels = {"app.kubernetes.io/name": name}
    metadata = {"namespace": namespace, "name": name, "labels": labels}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": name}], **spec}}


def policy(namespace: str = "app", **spec: Any) -> Manifest:
    return {"kind": "NetworkPolicy", "metadata": {"namespace": namespace, "name": "it"}, "spec": spec}


def network(*manifests: Manifest) -> Network:
    return Network.of([plain(manifest) for manifest in manifests])


def to(*cidrs: str, out: Sequence[str] = ()) -> Manifest:
    blocks = [{"ipBlock": {"cidr": cidr, "except": list(out)}} for cidr in cidrs]
    return policy(policyTypes=["Egress"], egress=[{"to": blocks, "ports": [{"port": 443}]}])


@pytest.mark.parametrize("stack", STACKS)
def test_the_evaluator_finds_the_table_of_connections_and_nothing_else(stack: str) -> None:
    """What the program says it opens, and what its policies open between its pods, is the same."""
    rendered = committed(stack)
    found = {
        (edge.source.workload, edge.target.workload, number)
        for edge in network(*rendered.manifests).edges
        for _protocol, first, last in edge.ports.ranges
        for number in range(first, last + 1)
    }
    rows = {(row["client"], row["server"], row["port"]) for row in rendered.outputs["connections"]}
    there = {each.workload for each in network(*rendered.manifests).pods}
    assert found == {row for row in rows if row[0] in there and row[1] in there}


def test_without_policies_everything_is_open() -> None:
    one, other = network(pod("one"), pod("other", "data")).pods
    assert network(pod("one")).opened(one, other) == ALL_PORTS


@pytest.mark.parametrize(
    ("cidrs", "out", "reached"),
    [
        (["10.244.0.0/16"], [], True),
        (["0.0.0.0/1", "128.0.0.0/1"], [], True),
        (["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"], False),
        (["8.0.0.0/7"], ["10.0.0.0/8"], False),
        (["10.244.0.7/32"], [], False),  # a machine
        (["10.244.0.6/31"], [], True),
        (["fd00::/8"], [], True),
        (["fd00::1/128"], [], False),
        (["2000::/3"], [], False),
        (["::ffff:10.0.0.0/104"], [], True),
    ],
)
def test_a_block_is_taken_for_pods_if_it_has_private_addresses(cidrs: list[str], out: list[str], reached: bool) -> None:
    found = network(pod("one"), pod("other"), to(*cidrs, out=out))
    one, other = found.pods
    assert found.allowed(one, other, 443) == reached
    assert not found.allowed(one, other, 80)


def test_halves_of_a_range_are_the_whole_of_it() -> None:
    assert addresses("0.0.0.0/1", "128.0.0.0/1") == addresses("0.0.0.0/0")
    assert addresses("10.1.2.3/8") == addresses("10.0.0.0/9", "10.128.0.0/9")
    assert EVERYWHERE - addresses("::/0", "0.0.0.0/0") == Ranges()
    assert addresses("10.0.0.0/8") - addresses("10.0.0.0/9") == addresses("10.128.0.0/9")
    assert not addresses("::/0") & addresses("0.0.0.0/0")


def test_a_hole_is_cut_out_of_the_middle() -> None:
    left = Ranges.of([("TCP", 1, 9), ("UDP", 1, 9)]) - Ranges.of([("TCP", 1, 2), ("TCP", 4, 4), ("TCP", 9, 99)])
    assert left.ranges == (("TCP", 3, 3), ("TCP", 5, 8), ("UDP", 1, 9))
    assert ("TCP", 4) not in left
    assert ("UDP", 4) in left


@pytest.mark.parametrize("there", ["169.254.169.254", "fd00:ec2::254", "168.63.129.16"])
def test_what_a_cloud_tells_a_machine_is_metadata(there: str) -> None:
    assert address(there) in METADATA
    assert not addresses("8.8.8.8/32", "2001:db8::1/128") & (METADATA | PRIVATE)


def test_a_pod_in_its_nodes_network_is_an_address() -> None:
    found = network(
        pod("one", hostNetwork=True),
        pod("other"),
        policy(ingress=[{"from": [{"podSelector": {}}]}]),
        policy("app", podSelector={"matchLabels": {"a": "b"}}),
    )
    one, other = found.pods
    assert not found.allowed(one, other, 80), "no selector selects it"
    assert found.allowed(other, one, 80), "no policy holds it"
    assert facing(found, []) == [one]


def test_equal_pods_are_one() -> None:
    job, again = pod("backup"), {**pod("backup"), "metadata": {**pod("backup")["metadata"], "name": "another"}}
    assert [each.workload for each in network(job, again, pod("other")).pods] == ["app/backup", "app/other"]


def test_the_shortest_way_is_told() -> None:
    def reaches(source: str, target: str) -> Manifest:
        return policy(
            podSelector={"matchLabels": {"app.kubernetes.io/name": source}},
            policyTypes=["Egress"],
            egress=[{"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": target}}}]}],
        )

    found = network(pod("a"), pod("b"), pod("c"), reaches("a", "b"), reaches("b", "c"), reaches("c", "a"))
    first, second, third = found.pods
    assert found.reached_from([first]) == {first: [first], second: [first, second], third: [first, second, third]}


def test_an_operators_pods_are_known_by_its_labels() -> None:
    made = {"kind": "Prometheus", "metadata": {"namespace": "monitoring", "name": "main"}, "spec": {}}
    (prometheus,) = running(plain(made))
    assert prometheus.workload == "monitoring/prometheus"
    assert prometheus.ports == (("web", "TCP", 9090),)
    embedded: Manifest = {"template": {"metadata": {"labels": {"a": "b"}}, "podSpec": {"containers": [{}]}}}
    (inner,) = running(plain({"kind": "Engine", "metadata": {"name": "it"}, "spec": {"parts": [embedded]}}))
    assert inner.labels == {"a": "b"}


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": [""]}]}, {}, False),
        ({"matchLabels": {"a": ""}}, {}, False),
        ({"matchLabels": {"a": ""}}, {"a": ""}, True),
        (
            {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            {"a": "b"},
            False,
        ),
    ],
)
def test_a_label_that_is_not_there_is_in_no_list(selector: Manifest, labels: Manifest, selected: bool) -> None:
    assert matcher(selector)(labels) == selected


def test_a_selector_says_which_values_it_leaves() -> None:
    both = {"matchLabels": {NAME: "a"}, "matchExpressions": [{"key": NAME, "operator": "In", "values": ["a", "b"]}]}
    assert pinned(both, NAME) == {"a"}
    assert pinned({"matchExpressions": [{"key": NAME, "operator": "Exists"}]}, NAME) is None
    assert pinned({"matchLabels": {"team": "a"}}, NAME) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "everywhere"}}]}]},
        {"ingress": [{"ports": [{"port": "http", "endPort": 90}]}]},
        {"ingress": [{"ports": [{"port": 90, "endPort": 80}]}]},
        {"ingress": [{"ports": [{"endPort": 80}]}]},
    ],
)
def test_what_kubernetes_refuses_is_not_guessed_at(broken: Manifest) -> None:
    with pytest.raises(ValueError, match=r"."):
        network({**policy(), "spec": broken})


def test_what_of_a_policy_is_unknown_is_not_guessed_at() -> None:
    for spec in (
        {"podSelector": {"matchLabels": {"a": UNKNOWN}}},
        {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {NAME: UNKNOWN}}}]}]},
        {"ingress": [{"ports": [{"port": UNKNOWN}]}]},
    ):
        with pytest.raises(UnreadableError):
            network({**policy(), "spec": spec})


def test_the_same_objects_are_read_once() -> None:
    manifests = [plain(pod("one")), plain(policy())]
    first = Network.of(manifests)
    assert Network.of([dict(manifest) for manifest in manifests]) is first
    assert Network.of([plain(pod("one")), manifests[1]]) is not first


def test_a_pod_without_an_object_can_be_asked_about() -> None:
    found = network(policy("data", ingress=[{"from": [{"namespaceSelector": {"matchLabels": {NAME: "app"}}}]}]))
    server = Pod("data", {})
    assert found.allowed(Pod("app", {}), server, 80)
    assert not found.allowed(Pod("elsewhere", {}), server, 80)
    assert not found.allowed("203.0.113.9", server, 80)
