"""Every stack, rendered from the real program: valid, consistent, and ordered dev <= staging <= prod."""

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from kubernetes_validate import utils

from tests import custom_resources
from tests.render import SECRET, STACKS, Manifest, committed, render, stack_config

KUBERNETES = "1.34"
CUSTOM = "cert-manager.io/"
SNAPSHOTS = "snapshot.storage.k8s.io/"
"""Its definitions come with the node's own tools; tests/engine/test_snapshots.py has an API server check the class."""

_SCHEMA = functools.cache(utils.schema_contents)


def workloads(stack: str) -> list[Manifest]:
    kinds = ("Deployment", "StatefulSet", "Job", "CronJob")
    return [manifest for kind in kinds for manifest in committed(stack).of(kind).values()]


def template(manifest: Manifest) -> Manifest:
    job = manifest["spec"].get("jobTemplate", manifest)
    return job["spec"]["template"]


def pod(manifest: Manifest) -> Manifest:
    return template(manifest)["spec"]


@pytest.mark.parametrize("stack", STACKS)
def test_every_manifest_is_valid_under_the_strict_schema(
    stack: str, definitions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utils, "schema_contents", _SCHEMA)  # it would read all definitions anew for each object
    known = custom_resources.schemas(definitions)
    for manifest in committed(stack).manifests:
        if manifest["apiVersion"].startswith(SNAPSHOTS):
            continue
        whole: Manifest = {key: value for key, value in manifest.items() if value != SECRET}
        if manifest["apiVersion"].startswith(CUSTOM):
            custom_resources.validate(whole, known)
        else:
            kubernetes_validate.validate(whole, KUBERNETES, strict=True)


def test_the_strict_schema_refuses_a_misspelt_field() -> None:
    manifest = committed("dev").of("Deployment")["app/api"]
    broken = {**manifest, "spec": {**manifest["spec"], "replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"dnsName": ["a.test"]}, "dnsName"), ({"isCA": "yes"}, "boolean"), ({"privateKey": {"sized": 1}}, "sized")],
)
def test_the_definitions_refuse_a_wrong_field_of_a_custom_resource(
    definitions: Path, wrong: dict[str, Any], said: str
) -> None:
    manifest = committed("dev").of("Certificate")["security/platform-root"]
    broken = {**manifest, "spec": {**manifest["spec"], **wrong}}
    with pytest.raises(jsonschema.ValidationError, match=said):
        custom_resources.validate(broken, custom_resources.schemas(definitions))


@pytest.mark.parametrize("stack", STACKS)
def test_every_box_of_the_diagrams_that_this_part_covers_is_there(stack: str) -> None:
    deployments = {
        "app/frontend",
        "app/api",
        "app/scheduler",
        "data/memcached",
        "data/pgbouncer",
        "data/postgres-exporter",
        "security/cert-manager",
    }
    deployments |= {f"app/worker-{kind}" for kind in ("scraping", "processing", "analytics")}
    assert set(committed(stack).of("Deployment")) == deployments
    assert set(committed(stack).of("StatefulSet")) == {"data/postgres", "data/redis", "data/objects"}
    services = {
        "data/postgres-primary",
        "data/postgres-replicas",
        "data/postgres-instances",
        "data/redis",
        "data/redis-instances",
        "data/objects",
        "data/objects-instances",
    }
    assert set(committed(stack).of("Service")) == deployments | services
    assert deployments - {
        "app/scheduler",
        "data/memcached",
        "data/pgbouncer",
        "data/postgres-exporter",
        "security/cert-manager",
    } == set(committed(stack).of("HorizontalPodAutoscaler"))


@pytest.mark.parametrize("stack", STACKS)
def test_services_budgets_and_autoscalers_reach_exactly_one_workload(stack: str) -> None:
    """A Job's pod with a Deployment's labels once made an autoscaler fail closed (technology of the field, anchors §1)."""
    pods = {
        f"{m['kind']}/{m['metadata']['name']}": (
            m["metadata"]["namespace"],
            template(m)["metadata"]["labels"],
        )
        for m in workloads(stack)
    }
    for kind, path in (("Service", ("selector",)), ("PodDisruptionBudget", ("selector", "matchLabels"))):
        for name, manifest in committed(stack).of(kind).items():
            selector: Any = manifest["spec"]
            for part in path:
                selector = selector[part]
            # Which of the servers leads is written on the pods while they run.
            leads = {"data/postgres": "role", "data/redis": "statefulset.kubernetes.io/pod-name"}
            server = name.partition("-")[0]
            selector = {key: value for key, value in selector.items() if key != leads.get(server)}
            namespace = manifest["metadata"]["namespace"]
            chosen = [
                key
                for key, (where, labels) in pods.items()
                if where == namespace and selector.items() <= labels.items()
            ]
            assert len(chosen) == 1, (kind, name, chosen)
            assert not chosen[0].startswith(("Job/", "CronJob/"))


def test_the_database_may_change_its_own_objects_and_no_others() -> None:
    role = committed("prod").of("Role")["data/postgres"]
    names = {"postgres-config", "postgres-leader", "postgres-sync", "postgres-failover", "postgres-failsafe"}
    for rule in role["rules"]:
        assert set(rule["resources"]) <= {"configmaps", "pods"}
        if not set(rule["verbs"]) <= {"list", "watch", "create"}:
            assert set(rule["resourceNames"]) <= names | {f"postgres-{ordinal}" for ordinal in range(3)}
    binding = committed("prod").of("RoleBinding")["data/postgres"]
    assert [subject["name"] for subject in binding["subjects"]] == ["postgres"]


def test_the_servers_configuration_follows_the_settings() -> None:
    configuration = json.loads(
        committed("prod").of("ConfigMap")["data/postgres-config"]["metadata"]["annotations"]["config"]
    )
    assert configuration["synchronous_mode"] == "quorum"
    assert configuration["loop_wait"] + 2 * configuration["retry_timeout"] <= configuration["ttl"]
    assert configuration["postgresql"]["parameters"]["shared_buffers"] == f"{8 << 20 >> 2}kB"
    config = stack_config("dev")
    config["platform:settings"]["postgres"] |= {"instances": 1, "synchronous": False}
    alone = render("dev", config)
    assert "data/postgres-replicas" not in alone.of("Service")
    annotations = alone.of("ConfigMap")["data/postgres-config"]["metadata"]["annotations"]
    assert json.loads(annotations["config"])["synchronous_mode"] is False


@pytest.mark.parametrize("stack", STACKS)
def test_an_autoscaler_owns_the_number_of_pods(stack: str) -> None:
    scaled = {
        autoscaler["spec"]["scaleTargetRef"]["name"]
        for autoscaler in committed(stack).of("HorizontalPodAutoscaler").values()
    }
    for manifest in committed(stack).of("Deployment").values():
        assert ("replicas" in manifest["spec"]) != (manifest["metadata"]["name"] in scaled)


@pytest.mark.parametrize("stack", STACKS)
def test_every_pod_is_restricted_and_only_two_call_the_api_server(stack: str) -> None:
    accounts = committed(stack).of("ServiceAccount")
    for manifest in workloads(stack):
        spec = pod(manifest)
        account = accounts[f"{manifest['metadata']['namespace']}/{spec['serviceAccountName']}"]
        name = f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"
        callers = ("data/postgres", "data/postgres-snapshots", "data/redis-snapshots", "security/cert-manager")
        calls = name in callers
        assert spec["automountServiceAccountToken"] is calls
        assert account["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


@pytest.mark.parametrize("stack", STACKS)
def test_every_server_has_probes_and_time_to_leave(stack: str) -> None:
    for manifest in workloads(stack):
        container, *beside = pod(manifest)["containers"]
        if manifest["kind"] in ("Job", "CronJob"):
            assert "livenessProbe" not in container
            continue
        # Without what runs beside it, a server still serves.
        assert not any(key.endswith("Probe") for other in beside for key in other)
        assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container)
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod(manifest)["terminationGracePeriodSeconds"] > pause


@pytest.mark.parametrize("stack", STACKS)
def test_every_object_has_the_same_field_manager_in_all_runs(stack: str) -> None:
    """Or an `up` after one that was killed is in conflict with it over what the API server has filled in."""
    for manifest in committed(stack).manifests:
        annotations = manifest["metadata"].get("annotations", {})
        assert annotations.get("pulumi.com/patchFieldManager") == "platform", manifest["metadata"]


@pytest.mark.parametrize("stack", STACKS)
def test_no_command_has_what_kubernetes_would_change(stack: str) -> None:
    """Two dollar signs become one: a shell's own number, asked for that way, is a word that is no number."""
    for manifest in workloads(stack):
        for container in (*pod(manifest).get("initContainers", []), *pod(manifest)["containers"]):
            assert "$$" not in " ".join([*container.get("command", []), *container.get("args", [])]), manifest[
                "metadata"
            ]


@pytest.mark.parametrize("stack", STACKS)
def test_every_namespace_denies_by_default_and_allows_dns(stack: str) -> None:
    for name, namespace in committed(stack).of("Namespace").items():
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        deny = committed(stack).of("NetworkPolicy")[f"{name}/default-deny"]["spec"]
        assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        assert f"{name}/allow-dns" in committed(stack).of("NetworkPolicy")
        assert f"{name}/quota" in committed(stack).of("ResourceQuota")
        assert f"{name}/limits" in committed(stack).of("LimitRange")


@pytest.mark.parametrize("stack", STACKS)
def test_no_pod_starts_before_its_namespace_denies_by_default(stack: str) -> None:
    rendered = committed(stack)
    starting = {"Deployment", "StatefulSet", "Job", "CronJob"}
    found = [
        [each for each in waits if each.endswith("-default-deny")]
        for urn, waits in rendered.dependencies.items()
        if urn.split("::")[2].rpartition(":")[2] in starting
    ]
    assert len(found) == len([each for each in rendered.manifests if each["kind"] in starting]) > 0
    assert all(found)


@pytest.mark.parametrize("stack", STACKS)
def test_passwords_are_in_secret_objects_and_nowhere_else(stack: str) -> None:
    """The mock engine generates NAME-password-generated; only masked values may stand for it."""
    assert "-generated" not in str(committed(stack).manifests) + str(committed(stack).outputs)
    for manifest in committed(stack).manifests:
        masked = SECRET in str(manifest)
        assert masked == (manifest["kind"] == "Secret"), manifest["metadata"]


def test_data_is_kept_where_it_matters_and_not_in_dev() -> None:
    for stack, kept in (("dev", "Delete"), ("staging", "Retain"), ("prod", "Retain")):
        for manifest in committed(stack).of("StatefulSet").values():
            assert manifest["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == kept


def test_stacks_grow_from_dev_to_prod() -> None:
    def floor(stack: str) -> dict[str, int]:
        found = {name: m["spec"]["minReplicas"] for name, m in committed(stack).of("HorizontalPodAutoscaler").items()}
        return found | {
            name: m["spec"]["replicas"] for name, m in committed(stack).of("Deployment").items() if name not in found
        }

    dev, staging, prod = (floor(stack) for stack in STACKS)
    assert all(dev[name] <= staging[name] <= prod[name] for name in dev)
    assert sum(dev.values()) < sum(prod.values())


def test_only_dev_opens_a_node_port() -> None:
    for stack in STACKS:
        types = {m["spec"].get("type") for m in committed(stack).of("Service").values()}
        assert ("NodePort" in types) == (stack == "dev")


def test_an_image_setting_replaces_the_image_and_a_lock_pins_it() -> None:
    config = stack_config("dev")
    config["platform:settings"]["api"]["image"] = "registry.example/team/api:7.1"
    pinned = "registry.example/team/worker@sha256:" + "0" * 64
    config["platform:images"] = {"platform/worker:0.1.0": pinned}
    images = {
        m["metadata"]["name"]: pod(m)["containers"][0]["image"] for m in render("dev", config).of("Deployment").values()
    }
    assert images["api"] == "registry.example/team/api:7.1"
    assert images["worker-scraping"] == pinned


@pytest.mark.parametrize("stack", STACKS)
def test_a_job_that_failed_is_made_anew_by_the_next_up(stack: str) -> None:
    jobs = committed(stack).of("Job")
    assert jobs
    for name, job in jobs.items():
        assert job["metadata"]["annotations"].get("pulumi.com/replaceUnready") == "true", name
