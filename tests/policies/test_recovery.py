"""What keeps data, what runs for it, and how much of it can be lost."""

import json
from typing import Any

import pytest

from policies.recovery import gap, jobs, kept, lost

Manifest = dict[str, Any]

HOUR, DAY = 3600, 86400


def metadata(name: str, namespace: str = "data", **annotations: str) -> Manifest:
    return {
        "namespace": namespace,
        "name": name,
        "annotations": {f"platform/{key}": annotations[key] for key in annotations},
    }


def keeper(name: str = "main", **container: Any) -> Manifest:
    template = {"metadata": {"labels": {"app": name, "tier": "data"}}, "spec": {"containers": [container]}}
    spec = {"template": template, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    return {"kind": "StatefulSet", "metadata": metadata(name), "spec": spec}


def cron(schedule: str, role: str = "backup", of: str = "main", **spec: Any) -> Manifest:
    said = {"recovers": of, "recovery": role}
    return {"kind": "CronJob", "metadata": metadata("x", **said), "spec": {"schedule": schedule, **spec}}


def claim(name: str, namespace: str = "data") -> Manifest:
    return {"kind": "PersistentVolumeClaim", "metadata": metadata(name, namespace)}


def of_patroni(parameters: Manifest) -> list[Manifest]:
    text = json.dumps({"postgresql": {"parameters": parameters}})
    there = {"namespace": "data", "name": "scope-config", "annotations": {"config": text}}
    servers = keeper(env=[{"name": "PATRONI_SCOPE", "value": "scope"}])
    return [servers, {"kind": "ConfigMap", "metadata": there}, cron("0 1 * * *")]


def test_the_claims_of_a_set_are_the_sets() -> None:
    other = {"kind": "Prometheus", "metadata": metadata("p"), "spec": {"storage": {"volumeClaimTemplate": {"a": 1}}}}
    bare = {"kind": "Prometheus", "metadata": metadata("q"), "spec": {}}
    lone = [claim("data-main-0", "app"), claim("data-other-0"), other]
    assert list(kept([keeper(), claim("data-main-0"), claim("data-main-1"), bare, *lone])) == [keeper(), *lone]


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (cron("0 1 * * *"), True),
        (cron("0 1 * * *", role="drill"), False),
        (cron("0 1 * * *", of="other"), False),
        (cron("0 1 * * *", suspend=True), False),
        (cron("0 1 * * *") | {"kind": "Job"}, False),
    ],
)
def test_jobs_are_found_by_what_they_say(job: Manifest, found: bool) -> None:
    assert bool(jobs(keeper(), [job], "backup", "snapshot")) is found


def test_jobs_of_another_namespace_are_of_another_workload() -> None:
    job = cron("0 1 * * *")
    assert jobs({**keeper(), "metadata": metadata("main", "app")}, [job], "backup") == []


def test_two_time_zones_are_not_one_schedule() -> None:
    nights = [cron("0 1 * * 0", timeZone="Etc/UTC"), cron("0 1 * * 1-6", timeZone="Etc/UTC")]
    assert gap(nights) == DAY
    assert gap([nights[0], cron("0 1 * * 1-6", timeZone="Asia/Tokyo")]) == 2 * DAY


@pytest.mark.parametrize(
    ("parameters", "most"),
    [
        ({"archive_mode": "on", "archive_timeout": "60s"}, 60),
        ({"archive_mode": "always", "archive_timeout": 90}, 90),
        ({"archive_mode": True, "archive_timeout": "5min"}, 300),
        ({"archive_mode": "on", "archive_timeout": "2d"}, DAY),
        ({"archive_mode": "on", "archive_timeout": 0}, DAY),
        ({"archive_mode": "on"}, DAY),
        ({"archive_mode": "off", "archive_timeout": "60s"}, DAY),
        ({"archive_timeout": "60s"}, DAY),
    ],
)
def test_what_is_archived_is_not_lost(parameters: Manifest, most: int) -> None:
    servers, *others = of_patroni(parameters)
    assert lost(servers, others) == most


def test_without_a_backup_all_is_lost() -> None:
    servers, configuration, _job = of_patroni({"archive_mode": "on", "archive_timeout": "60s"})
    assert lost(servers, [configuration]) is None
    assert lost(keeper(), [cron("0 */6 * * *")]) == 6 * HOUR
