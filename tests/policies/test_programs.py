"""What a program is told is read as the program reads it."""

from typing import Any

import pytest

from policies.audit_policy import Request, level
from policies.falco import priority, sensors
from policies.fluent_bit import shippers
from policies.programs import Program, of, programs, service, services
from policies.rule import Unreadable, UnreadableError

OWN = "/etc/falco/own.yaml"
RULE = "{rule: A, condition: a, output: a, priority: CRITICAL, tags: [t]}"


def container(**fields: Any) -> Program:
    return Program({}, {}, fields, {})


def workload(image: str = "registry.example:5000/a/tool:1@sha256:0", **pod: Any) -> dict[str, Any]:
    spec = {"containers": [{"image": image, **pod.pop("container", {})}], **pod}
    return {"kind": "DaemonSet", "metadata": {"namespace": "a", "name": "b"}, "spec": {"template": {"spec": spec}}}


def configuration(**data: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"namespace": "a", "name": "c"}, "data": data}


def files(volume: dict[str, Any], mount: dict[str, Any], **data: Any) -> dict[str, Any]:
    manifest = workload(container={"volumeMounts": [{"name": "v", **mount}]}, volumes=[{"name": "v", **volume}])
    (program,) = programs([manifest, configuration(**data)], "tool")
    return dict(program.files)


def falco(*rules: str, settings: str = "", options: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the priority of each detection of a Falco that reads some files of rules."""
    data = {f"{number}.yaml": f"[{text}]" for number, text in enumerate(rules)}
    names = ", ".join(f"/etc/falco/{name}" for name in data)
    config = f"{{rules_files: [{names}], {settings}}}"
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/etc/falco"}], "args": [*options]}
    manifest = workload("falco:1", container=mounts, volumes=[{"name": "v", "configMap": {"name": "c"}}])
    (sensor,) = sensors([manifest, configuration(**data, **{"falco.yaml": config})])
    return {name: priority(rule) for name, rule in sensor.detections().items()}


def test_a_program_is_known_by_its_image_or_by_its_name() -> None:
    assert of("tool")(workload())
    assert of("tool")(workload("tool"))
    assert of("tool")({**workload("python:3"), "metadata": {"labels": {"app.kubernetes.io/name": "tool"}}})
    assert not of("tool")(workload("registry.example/tool/other:1"))
    assert not of("tool")({"kind": "Service", "metadata": {"labels": {"app.kubernetes.io/name": "tool"}}})


def test_an_image_that_cannot_be_read_is_that_of_the_label_and_of_nothing_without_one() -> None:
    hidden = workload()
    hidden["spec"]["template"]["spec"]["containers"][0]["image"] = Unreadable("image", "not known yet")
    labelled = {**hidden, "metadata": {"labels": {"app.kubernetes.io/name": "other"}}}
    assert not of("tool")(labelled)
    assert of("other")(labelled)
    with pytest.raises(UnreadableError):
        of("tool")(hidden)


def test_options_are_given_in_one_word_or_in_two() -> None:
    given = container(command=["tool", "--a=1"], args=["--b", "2", "--a", "3", "--last"])
    assert given.option("--a") == ["1", "3"]
    assert given.option("-b", "--b") == ["2"]
    assert given.option("--c") == []
    assert given.option("--last") == [""]


def test_what_a_shell_is_given_is_taken_apart() -> None:
    assert container(command=["/bin/sh", "-c"], args=["exec tool --a='1 2' # --b"]).option("--a", "--b") == ["1 2"]
    assert container(command=["tool", "-c"], args=["a --b=1"]).option("--b") == []


def test_a_switch_is_off_only_where_it_says_so() -> None:
    given = container(args=["--a", "word", "--b=false", "--c=true"])
    assert [given.flag(name) for name in ("--a", "--b", "--c", "--d")] == [True, False, True, False]


def test_of_two_variables_of_a_name_the_last_counts_and_one_from_elsewhere_cannot_be_read() -> None:
    given = container(
        env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "B", "valueFrom": {"a": 1}}]
    )
    assert given.variable("A") == "2"
    assert given.variable("C") is None
    with pytest.raises(UnreadableError, match="env B is a secret"):
        str(given.variable("B"))


def test_files_are_where_they_are_mounted() -> None:
    whole, one = {"configMap": {"name": "c"}}, {"configMap": {"name": "c", "items": [{"key": "k", "path": "d/p"}]}}
    assert files(whole, {"mountPath": "/m/"}, k="1", l="2") == {"/m/k": "1", "/m/l": "2"}
    assert files(one, {"mountPath": "/m"}, k="1", l="2") == {"/m/d/p": "1"}
    assert files(whole, {"mountPath": "/m/f", "subPath": "k"}, k="1", l="2") == {"/m/f": "1"}
    assert files({"projected": {"sources": [whole, {"secret": {"name": "c"}}]}}, {"mountPath": "/m"}, k="1") == {
        "/m/k": "1"
    }
    assert files({"configMap": {"name": "other"}}, {"mountPath": "/m"}, k="1") == {}


def test_a_file_that_cannot_be_read_is_there_but_not_its_content() -> None:
    (text,) = files({"configMap": {"name": "c"}}, {"mountPath": "/m"}, k=Unreadable("data.k", "a secret")).values()
    with pytest.raises(UnreadableError):
        Program({}, {}, {}, {"/m/k": text}).file("k")


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("http://a:80/x", ("own", "a")),
        ("a.b:80", ("b", "a")),
        ("http://a.b.svc/x", ("b", "a")),
        ("https://user:word@a.b.svc.cluster.local:80", ("b", "a")),
        ("https://a.example/x", None),
        ("https://a.b.example", None),
        ("http://localhost:80", None),
        ("10.0.0.1:80", None),
        ("", None),
    ],
)
def test_an_address_is_of_a_service_or_of_the_world(address: str, wanted: tuple[str, str] | None) -> None:
    assert service(address, "own") == wanted


def test_an_operator_makes_services_of_its_own() -> None:
    named = {"kind": "Alertmanager", "metadata": {"namespace": "a"}, "spec": {"serviceName": "alerts"}}
    plain = {"kind": "Prometheus", "metadata": {"namespace": "a"}}
    assert services([named, plain]) == {("a", "alerts"), ("a", "prometheus-operated")}


def test_a_detection_is_in_force_as_its_last_file_says() -> None:
    assert falco(RULE) == {"A": "critical"}
    assert falco(RULE, "{rule: A, enabled: false}") == {}
    assert falco(RULE, "{rule: A, enabled: false}", "{rule: A, enabled: true}") == {"A": "critical"}
    assert falco(RULE, "{rule: A, priority: WARN, override: {priority: replace}}") == {"A": "warning"}
    assert falco(RULE, "{rule: A, condition: never_true, override: {condition: replace}}") == {}
    assert falco(RULE, "{rule: A, condition: and b, override: {condition: append}}") == {"A": "critical"}
    assert falco("{rule: A, enabled: true}") == {}
    assert falco("{macro: A, condition: a}") == {}


def test_settings_and_options_change_what_is_in_force() -> None:
    assert falco(RULE, settings="priority: critical") == {"A": "critical"}
    assert falco(RULE, settings="priority: alert") == {}
    assert falco(RULE, options=("-o", "priority=emergency")) == {}
    assert falco(RULE, options=("-o", "rules[].disable.rule=A")) == {}
    assert falco(RULE, options=("-o", "rules[].disable.rule=A", "-o", "rules[].enable.tag=t")) == {"A": "critical"}
    assert falco(RULE, options=("-r", "/etc/falco/other.yaml")) == {}
    assert falco(RULE, settings="rules: [{disable: {rule: '*'}}]") == {}
    assert falco(RULE, settings="rules: [{disable: {rule: '*'}}, {enable: {tag: t}}]") == {"A": "critical"}


def test_both_formats_of_the_shipper_say_the_same() -> None:
    old = "[SERVICE]\n  Flush 1\n[INPUT]\n  Name  tail\n  # Path /no\n  Path  /a b\n[OUTPUT]\n  Name http\n  tls.verify Off\n"
    new = "{service: {Flush: '1'}, pipeline: {inputs: [{Name: tail, path: /a b}], outputs: [{name: http, tls.verify: 'Off'}]}}"
    for name, text in (("a.conf", old), ("a.yaml", new)):
        mounts = {"volumeMounts": [{"name": "v", "mountPath": "/etc"}], "args": ["-c", f"/etc/{name}"]}
        manifest = workload("fluent-bit:1", container=mounts, volumes=[{"name": "v", "configMap": {"name": "c"}}])
        (found,) = shippers([manifest, configuration(**{name: text})])
        assert (found.service, found.filters) == ({"flush": "1"}, [])
        assert found.inputs == [{"name": "tail", "path": "/a b"}]
        assert found.outputs == [{"name": "http", "tls.verify": "Off"}]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({}, True),
        ({"verbs": ["create"]}, True),
        ({"verbs": ["get"]}, False),
        ({"users": ["somebody"]}, False),
        ({"userGroups": ["system:nodes"]}, False),
        ({"userGroups": ["system:nodes", "system:authenticated"]}, True),
        ({"namespaces": ["somewhere"]}, False),
        ({"nonResourceURLs": ["/healthz"]}, False),
        ({"resources": [{"group": ""}]}, True),
        ({"resources": [{"group": "apps"}]}, False),
        ({"resources": [{"resources": ["pods"]}]}, False),
        ({"resources": [{"resources": ["pods/exec"]}]}, True),
        ({"resources": [{"resources": ["pods/*"]}]}, True),
        ({"resources": [{"resources": ["*/exec"]}]}, True),
        ({"resources": [{"resources": ["*"]}]}, True),
        ({"resources": [{"resources": ["pods/exec"], "resourceNames": ["one"]}]}, False),
    ],
)
def test_a_request_is_written_down_by_the_first_rule_it_matches(rule: dict[str, Any], wanted: bool) -> None:
    policy = {"rules": [{"level": "Request", **rule}, {"level": "Metadata"}]}
    assert level(policy, Request("create", "", "pods/exec")) == ("Request" if wanted else "Metadata")
    assert level({}, Request("create", "", "pods/exec")) == "None"
