"""Where an alert goes: what is known of it is enough to say where it may go; tests/servers asks amtool where it goes."""

from random import Random
from typing import Any

import pytest

from policies.alert_routes import may_tell, native, outcomes, read, walk
from policies.alerts import alerts, routes
from tests.policies.route_trees import LABELS, labels, tree

CRITICAL = {"severity": "critical"}
SOMEBODY = [{"name": "people", "email_configs": [{"to": "people@a.example"}]}, {"name": "nobody"}]


def may_go(route: dict[str, Any], given: dict[str, str]) -> list[list[str]]:
    return sorted(sorted(each) for each in outcomes(read({"receiver": "root", **route}), given))


def delivers(config: dict[str, Any], given: dict[str, str]) -> bool:
    spec = {"receivers": SOMEBODY, **config}
    manager = {"kind": "Alertmanager", "metadata": {"name": "a"}, "spec": {"alertmanagerConfiguration": {"name": "a"}}}
    (found,) = routes([manager, {"kind": "AlertmanagerConfig", "metadata": {"name": "a"}, "spec": spec}])
    return found.delivers(given)


@pytest.mark.parametrize("seed", range(30))
def test_what_may_happen_includes_what_does(seed: int) -> None:
    random = Random(seed)
    root = read(tree(random)["route"])
    for _ in range(20):
        whole = dict.fromkeys(LABELS, "") | labels(random)
        known = {label: value for label, value in whole.items() if random.random() < 0.5}
        (happens,) = outcomes(root, whole, whole=True)
        assert happens in outcomes(root, known)
        assert happens <= may_tell(root, known)


def test_a_label_that_is_not_known_may_match_or_not() -> None:
    child = {"receiver": "child", "matchers": ['namespace="a"']}
    assert may_go({"routes": [child]}, CRITICAL) == [["child"], ["root"]]
    assert may_go({"routes": [child]}, {"namespace": "a"}) == [["child"]]
    assert may_go({"routes": [child]}, {"namespace": "b"}) == [["root"]]
    assert may_go({"routes": [{**child, "continue": True}, {"receiver": "next"}]}, {}) == [["child", "next"], ["next"]]


def test_many_routes_that_may_match_do_not_take_for_ever() -> None:
    many = [{"receiver": f"r{n}", "matchers": [f'l{n}="a"'], "continue": True} for n in range(60)]
    assert outcomes(read({"receiver": "root", "routes": many}), {}, told=lambda route: route.receiver[:1]) == {
        frozenset("r")
    }


def test_a_child_has_the_receiver_of_its_parent() -> None:
    root = read({"receiver": "a", "routes": [{"routes": [{"matchers": []}]}]})
    assert [route.receiver for route in walk(root)] == ["a", "a", "a"]


@pytest.mark.parametrize("text", ['a="b" c="d"', "a", "=b", '{a="b"', 'a="b",,c="d"'])
def test_what_is_no_matcher_is_not_taken_for_one(text: str) -> None:
    if text.startswith("{"):
        assert [matcher.label for matcher in read({"matchers": [text]}).matchers] == ["a"]
        return
    with pytest.raises(ValueError, match=r"^no matcher$"):
        read({"matchers": [text]})


def test_the_keys_of_an_object_become_those_of_a_file() -> None:
    given = {
        "pagerdutyConfigs": [{"routingKey": {"key": "a"}}],
        "apiURL": "b",
        "matchType": "=~",
        "name": "sendResolved",
    }
    wanted = {
        "pagerduty_configs": [{"routing_key": {"key": "a"}}],
        "api_url": "b",
        "match_type": "=~",
        "name": "sendResolved",
    }
    assert native(given) == wanted


def test_an_alert_is_delivered_only_if_nothing_that_is_unknown_can_lose_it() -> None:
    to_nobody = {"receiver": "nobody", "matchers": [{"name": "namespace", "value": "a"}]}
    assert delivers({"route": {"receiver": "people"}}, CRITICAL)
    assert not delivers({"route": {"receiver": "people", "routes": [to_nobody]}}, CRITICAL)
    assert delivers({"route": {"receiver": "people", "routes": [to_nobody]}}, {**CRITICAL, "namespace": "b"})
    assert not delivers({"route": {"receiver": "people", "matchers": [{"name": "a", "value": "b"}]}}, CRITICAL)


def test_only_a_critical_alert_must_come_at_night_too() -> None:
    config = {"route": {"receiver": "people", "muteTimeIntervals": ["night"]}}
    assert not delivers(config, CRITICAL)
    assert delivers(config, {"severity": "warning"})


def test_what_a_template_makes_of_a_label_is_not_known() -> None:
    rules = [{"alert": "A", "labels": {"severity": "{{ $value }}", "team": "b"}}, {"record": "r"}]
    group = {"labels": {"team": "a", "area": "c"}, "rules": rules}
    (alert,) = alerts([{"kind": "PrometheusRule", "spec": {"groups": [group]}}])
    assert alert.labels == {"team": "b", "area": "c", "alertname": "A"}
    assert alert.path == "spec.groups[0].rules[0]"


def test_an_object_that_is_selected_routes_the_alerts_of_its_namespace_and_the_others_are_asked_after_it() -> None:
    name = {"namespace": "monitoring", "name": "a"}
    manager: dict[str, Any] = {"kind": "Alertmanager", "metadata": name, "spec": {"alertmanagerConfigSelector": {}}}
    config: dict[str, Any] = {
        "metadata": {"namespace": "app", "name": "b"},
        "spec": {"route": {"receiver": "people"}, "receivers": SOMEBODY},
    }
    every: dict[str, Any] = {**manager, "spec": {**manager["spec"], "alertmanagerConfigNamespaceSelector": {}}}
    (own,) = routes([manager, {"kind": "AlertmanagerConfig", **config}])
    (other,) = routes([every, {"kind": "AlertmanagerConfig", **config}])
    assert own.root.routes == ()
    assert [route.receiver for route in other.root.routes] == ["app/b/people"]
    assert other.delivers({"namespace": "app"})
    assert not other.delivers({"namespace": "data"})
