"""Wrong settings name the file, the key, the value and what would be right, before anything is created."""

import copy
import json
from typing import Any

import pulumi
import pytest

from components.settings import Settings
from tests.render import render, stack_config

FILE = "Pulumi.dev.yaml"


def tree(**changes: Any) -> dict[str, Any]:
    """Return dev's settings with values replaced at dotted keys, `__` standing for the dot."""
    settings = copy.deepcopy(stack_config("dev")["platform:settings"])
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = settings
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return settings


def message(settings: dict[str, Any]) -> str:
    with pytest.raises(pulumi.RunError) as raised:
        Settings.parse(json.dumps(settings), FILE, {})
    return str(raised.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"api__scale__mx": 5}, "Pulumi.dev.yaml: platform:settings: api.scale.mx: unknown setting; did you mean max?"),
        ({"apy": {}}, "platform:settings: apy: unknown setting; did you mean api?"),
        ({"api__scale__min": "3"}, "api.scale.min: '3': Input should be a valid integer"),
        ({"api__scale": {"min": 5, "max": 2}}, "api.scale: max (2) is below min (5)"),
        (
            {"api__image": "registry.example/api:latest"},
            "api.image: registry.example/api:latest: latest names a different image",
        ),
        ({"api__image": "registry.example/api"}, "an image with a tag other than latest, or a digest"),
        ({"api__memory": "lots"}, "api.memory: 'lots': String should match pattern"),
        ({"api__memory": "lots"}, "(a Kubernetes quantity, like 250m or 64Mi)"),
        ({"domain": "nodots"}, "(a host name, like example.com)"),
        ({"frontend__node_port": 80}, "frontend.node_port: 80: Input should be greater than or equal to 30000"),
        ({"scrape_sites": [{"name": "a", "namespace": "b"}]}, "scrape_sites.0.port: required, and missing"),
        (
            {"scrape_sites": [{"name": "a", "namespace": "b", "prt": 1}]},
            "scrape_sites.0.prt: unknown setting; did you mean port?",
        ),
        (
            {"pgbouncer__scale": {"min": 2, "max": 3}},
            "pgbouncer: connections (20) of scale.max (3) pods and of their successors are 120, and the database has 80 for them;",
        ),
        (
            {"pgbouncer__scale": {"min": 2, "max": 3}},
            "for them; right would be connections of at most 13, or scale.max of at most 2",
        ),
        (
            {"pgbouncer": {"scale": {"min": 2, "max": 50}, "connections": 2}},
            "right would be scale.max of at most 20",
        ),
        ({"postgres__volume__keep": "yes"}, "postgres.volume.keep: 'yes': Input should be a valid boolean"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], expected: str) -> None:
    assert expected in message(tree(**changes))


def test_every_wrong_setting_is_named_at_once() -> None:
    shown = message(tree(apy={}, domain="nodots", api__scale__min="3"))
    assert len(shown.splitlines()) == 3


def test_missing_settings_are_named() -> None:
    with pytest.raises(pulumi.RunError, match=r"Pulumi\.dev\.yaml: platform:settings is missing"):
        render("dev", {"pulumi:disable-default-providers": ["kubernetes"]})


def test_the_program_creates_nothing_with_wrong_settings() -> None:
    config = stack_config("dev") | {"platform:settings": tree(apy={})}
    with pytest.raises(pulumi.RunError, match="did you mean api"):
        render("dev", config)


def test_an_image_is_replaced_where_the_file_says_nothing_of_its_tier() -> None:
    images = {"platform/worker:0.1.0": "registry.example/worker:1", "platform/snapshots:0.1.0": "registry.example/s:1"}
    settings = Settings.parse('{"domain": "example.com"}', FILE, images)
    assert settings.workers.analytics.image == "registry.example/worker:1"
    assert settings.storage.snapshots
    assert settings.storage.snapshots.image == "registry.example/s:1"
    assert settings.storage.model_fields_set == set()


def test_a_small_tree_is_enough() -> None:
    settings = Settings.parse('{"domain": "example.com"}', FILE, {})
    assert settings.url == "https://example.com"
    assert settings.api.scale.min == 2
