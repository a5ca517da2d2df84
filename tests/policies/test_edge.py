"""The model of the edge says which route is served where, and which policy is in force on it, as Envoy Gateway does."""

from typing import Any

import pytest

from policies.edge import Edge, covers, exposure
from policies.rule import Unreadable, UnreadableError, at
from policies.selectors import matcher

Manifest = dict[str, Any]
GROUP = "gateway.networking.k8s.io"


def gateway(*listeners: Manifest, **labels: str) -> Manifest:
    metadata = {"namespace": "edge", "name": "public", "labels": labels}
    return {"kind": "Gateway", "metadata": metadata, "spec": {"listeners": list(listeners)}}


def route(*parents: Manifest, hostnames: Any = None, rules: Any = None, namespace: str = "edge") -> Manifest:
    spec = {"parentRefs": list(parents), "hostnames": hostnames, "rules": rules}
    return {"kind": "HTTPRoute", "metadata": {"namespace": namespace, "name": "shop"}, "spec": spec}


def policy(name: str, target: Manifest, namespace: str = "edge", **spec: Any) -> Manifest:
    refs = [{"group": GROUP, **target}]
    metadata = {"namespace": namespace, "name": name}
    return {"kind": "SecurityPolicy", "metadata": metadata, "spec": {"targetRefs": refs, "from": name, **spec}}


HTTPS = {"name": "https", "port": 443, "protocol": "HTTPS"}
OTHER = {"name": "other", "port": 8443, "protocol": "HTTPS"}
ON_GATEWAY = {"kind": "Gateway", "name": "public"}
ON_LISTENER = {**ON_GATEWAY, "sectionName": "https"}
ON_ROUTE = {"kind": "HTTPRoute", "name": "shop"}
ON_RULE = {**ON_ROUTE, "sectionName": "pay"}
NAMED = [{"name": "pay"}]


@pytest.mark.parametrize(
    ("bound", "own", "served"),
    [
        (None, None, ("*",)),
        ("", [], ("*",)),
        ("shop.example", None, ("shop.example",)),
        (None, ["a.example", "b.example"], ("a.example", "b.example")),
        ("*.example", ["shop.example", "shop.other"], ("shop.example",)),
        ("shop.example", ["*.example"], ("shop.example",)),
        ("*.example", ["*.shop.example"], ("*.shop.example",)),
        ("*.example", ["example"], None),
        ("a.example", ["b.example"], None),
    ],
)
def test_a_route_serves_the_hosts_that_it_and_its_listener_share(bound: Any, own: Any, served: Any) -> None:
    routes = Edge([gateway({**HTTPS, "hostname": bound}), route({"name": "public"}, hostnames=own)]).routes
    assert [each.hosts for each in routes] == ([] if served is None else [served])


@pytest.mark.parametrize(
    ("parent", "listeners"),
    [
        ({"name": "public"}, ["https", "other"]),
        ({"name": "public", "sectionName": "other"}, ["other"]),
        ({"name": "public", "port": "443"}, ["https"]),
        ({"name": "public", "port": 443, "sectionName": "other"}, []),
        ({"name": "public", "namespace": "app"}, []),
        ({"name": "public", "kind": "Service"}, []),
        ({"name": "other"}, []),
    ],
)
def test_a_route_is_on_the_listeners_that_it_names(parent: Manifest, listeners: list[str]) -> None:
    routes = Edge([gateway(HTTPS, OTHER), route(parent)]).routes
    assert [each.listener.spec["name"] for each in routes] == listeners


def test_a_route_without_a_namespace_of_its_parent_means_its_own() -> None:
    assert Edge([gateway(HTTPS), route({"name": "public"}, namespace="app")]).routes == []
    assert len(Edge([gateway(HTTPS), route({"name": "public", "namespace": "edge"}, namespace="app")]).routes) == 1


@pytest.mark.parametrize(
    ("policies", "in_force"),
    [
        ([], None),
        ([("gateway", ON_GATEWAY)], "gateway"),
        ([("gateway", ON_GATEWAY), ("listener", ON_LISTENER)], "listener"),
        ([("listener", ON_LISTENER), ("route", ON_ROUTE), ("gateway", ON_GATEWAY)], "route"),
        ([("rule", ON_RULE), ("route", ON_ROUTE)], "rule"),
        ([("gateway", ON_GATEWAY), ("other", {**ON_GATEWAY, "sectionName": "other"})], "gateway"),
        ([("gateway", ON_GATEWAY), ("elsewhere", {**ON_ROUTE, "sectionName": "search"})], "gateway"),
        ([("gateway", ON_GATEWAY), ("one", ON_ROUTE), ("two", ON_ROUTE)], None),
        ([("group", {**ON_GATEWAY, "group": "apps"})], None),
    ],
)
def test_the_nearest_policy_is_in_force(policies: list[tuple[str, Manifest]], in_force: str | None) -> None:
    made = [policy(name, target) for name, target in policies]
    edge = Edge([gateway(HTTPS), route({"name": "public"}, rules=NAMED), *made])
    (only,) = edge.routes
    assert edge.policy("SecurityPolicy", only).get("from") == in_force


def test_a_policy_is_in_force_in_its_namespace_only() -> None:
    edge = Edge([gateway(HTTPS), route({"name": "public"}), policy("away", ON_GATEWAY, namespace="app")])
    assert edge.policy("SecurityPolicy", edge.routes[0]) == {}


@pytest.mark.parametrize(
    ("selector", "in_force"),
    [
        ({"kind": "Gateway", "matchLabels": {"exposure": "admin"}}, "selecting"),
        ({"kind": "Gateway"}, "selecting"),
        ({"kind": "Gateway", "namespaces": {"from": "All"}}, None),
        ({"kind": "Gateway", "matchLabels": {"exposure": "public"}}, None),
        ({"kind": "GRPCRoute"}, None),
    ],
)
def test_a_policy_may_select_whole_objects(selector: Manifest, in_force: str | None) -> None:
    made = policy("selecting", {}) | {"spec": {"targetSelectors": [selector], "from": "selecting"}}
    edge = Edge([gateway(HTTPS, exposure="admin"), route({"name": "public"}), made])
    assert edge.policy("SecurityPolicy", edge.routes[0]).get("from") == in_force
    # It selects no listener: one with a policy of its own has only that.
    edge = Edge([gateway(HTTPS, exposure="admin"), route({"name": "public"}), made, policy("listener", ON_LISTENER)])
    assert edge.policy("SecurityPolicy", edge.routes[0])["from"] == "listener"


def test_a_merged_policy_keeps_what_it_does_not_say_of_the_nearest_above() -> None:
    made = [
        policy("gateway", ON_GATEWAY, jwt={"providers": [1]}, cors={"a": 1}),
        policy("listener", ON_LISTENER, cors={"a": 1, "b": [1, 2]}, oidc={"x": 1}),
        policy("route", ON_ROUTE, mergeType="StrategicMerge", cors={"b": [3], "c": 2}, oidc=None),
    ]
    edge = Edge([gateway(HTTPS), route({"name": "public"}), *made])
    merged = edge.policy("SecurityPolicy", edge.routes[0])
    assert "jwt" not in merged
    assert merged["cors"] == {"a": 1, "b": [3], "c": 2}
    assert merged["oidc"] == {"x": 1}


def test_what_is_merged_over_the_unknown_stays_unknown() -> None:
    made = [
        policy("gateway", ON_GATEWAY, cors=Unreadable("spec.cors", "not known yet")),
        policy("route", ON_ROUTE, mergeType="JSONMerge", cors={"allowOrigins": []}),
    ]
    edge = Edge([gateway(HTTPS), route({"name": "public"}), *made])
    with pytest.raises(UnreadableError):
        at(edge.policy("SecurityPolicy", edge.routes[0]), "cors.allowOrigins")


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"a": "b"}}, True),
        ({"matchLabels": {"a": "c"}}, False),
        ({"matchLabels": {"a": "b", "x": "y"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "In", "values": ["b"]}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, False),
        ({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["b"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}, False),
    ],
)
def test_a_selector_selects_as_kubernetes_has_it(selector: Manifest, selected: bool) -> None:
    assert matcher(selector)({"a": "b"}) is selected


def test_what_does_not_say_how_far_it_reaches_is_public() -> None:
    assert [exposure(gateway(exposure=said)) for said in ("admin", "internal", "Public", "")] == [
        "admin",
        "internal",
        "public",
        "public",
    ]
    assert exposure({"kind": "Gateway"}) == "public"


def test_a_star_stands_for_more_labels_and_for_narrower_stars() -> None:
    assert covers("*.example", "a.b.example")
    assert covers("*.example", "*.b.example")
    assert not covers("*.b.example", "*.example")
    assert not covers("*.example", "badexample")
