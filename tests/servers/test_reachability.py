"""The evaluator of network policies against cyclonus and the API server's own selectors, over random programs."""

import json
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from local import toolchain
from policies.ranges import PROTOCOLS
from policies.reachability import Network
from policies.rule import Manifest
from policies.running import running

PROGRAMS = 400
SOURCE = Path(__file__).parent / "cyclonus"
NAMESPACES = ("app", "data", "edge")
KEYS, VALUES = ("a", "b"), ("x", "y", "")
ADDRESSES = ("9.9.9.9", "10.0.3.1", "130.0.0.1", "169.254.169.254", "2001:db8::1", "fd00::5")
CIDRS = ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "10.0.3.1/32", "10.0.0.9/29", "::/0", "fd00::/8")
INNER = ("10.0.0.0/8", "10.0.3.0/24", "9.0.0.0/8", "128.0.0.0/2", "fd00::/16", "169.254.0.0/16")
NUMBERS = (53, 80, 81, 443, 8080)
NAMES = ("http", "dns", "other")
ASKED = [(53, "UDP"), (53, "TCP"), (80, "TCP"), (80, "UDP"), (81, "TCP"), (443, "SCTP"), (8080, "TCP"), (65535, "TCP")]


def _labels(of: random.Random) -> dict[str, str]:
    return {key: of.choice(VALUES) for key in KEYS if of.random() < 0.6}


def _selector(of: random.Random) -> Manifest:
    found: Manifest = {}
    if of.random() < 0.5:
        found["matchLabels"] = _labels(of)
    if of.random() < 0.5:
        found["matchExpressions"] = [_expression(of) for _ in range(of.randint(0, 2))]
    return found


def _expression(of: random.Random) -> Manifest:
    operator = of.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    values = {"values": of.sample(VALUES, of.randint(1, 2))} if operator in {"In", "NotIn"} else {}
    return {"key": of.choice(KEYS), "operator": operator, **values}


def _namespaces(of: random.Random) -> Manifest:
    if of.random() < 0.4:
        return {"matchLabels": {"kubernetes.io/metadata.name": of.choice((*NAMESPACES, "absent"))}}
    return _selector(of)


def _peer(of: random.Random) -> Manifest:
    sort = of.random()
    if sort < 0.3:
        cidr = of.choice(CIDRS)
        inner = [each for each in INNER if (":" in each) == (":" in cidr)]
        return {"ipBlock": {"cidr": cidr, **({"except": of.sample(inner, 1)} if of.random() < 0.5 else {})}}
    if sort < 0.5:
        return {"podSelector": _selector(of)}
    return {"namespaceSelector": _namespaces(of), **({"podSelector": _selector(of)} if sort < 0.8 else {})}


def _port(of: random.Random) -> Manifest:
    protocol: Manifest = {"protocol": of.choice(PROTOCOLS)} if of.random() < 0.5 else {}
    sort = of.random()
    if sort < 0.15:
        return protocol
    if sort < 0.4:
        return {"port": of.choice(NAMES), **protocol}
    first = of.choice(NUMBERS)
    return {"port": first, **({"endPort": first + of.choice((0, 1, 400, 60000))} if sort < 0.6 else {}), **protocol}


def _rule(of: random.Random, side: str) -> Manifest:
    found: Manifest = {}
    if of.random() < 0.85:
        found[side] = [_peer(of) for _ in range(of.randint(0, 2))]
    if of.random() < 0.75:
        found["ports"] = [_port(of) for _ in range(of.randint(0, 2))]
    return found


def _policy(of: random.Random, number: int) -> Manifest:
    spec: Manifest = {"podSelector": _selector(of)}
    if of.random() < 0.7:
        spec["policyTypes"] = of.sample(("Ingress", "Egress"), of.randint(0, 2))
    for way, side in (("ingress", "from"), ("egress", "to")):
        if of.random() < 0.6:
            spec[way] = [_rule(of, side) for _ in range(of.randint(0, 2))]
    where = {"namespace": of.choice(NAMESPACES), "name": f"policy-{number}"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": where, "spec": spec}


def _pod(of: random.Random, number: int) -> Manifest:
    numbers = of.sample(NUMBERS, 2)
    ports = [
        {"name": name, "containerPort": each, "protocol": of.choice(PROTOCOLS)}
        for name, each in zip(of.sample(NAMES, 2), numbers, strict=True)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": of.choice(NAMESPACES), "name": f"pod-{number}", "labels": _labels(of)},
        "spec": {"hostNetwork": of.random() < 0.1, "containers": [{"name": "main", "ports": ports}]},
        "status": {"podIP": of.choice((f"10.0.{number}.1", f"fd00::{number}", f"fd01::{number}"))},
    }


def _program(seed: int) -> list[Manifest]:
    of = random.Random(seed)  # the same programs each time
    namespaces: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": _labels(of)}}
        for name in NAMESPACES
    ]
    pods = [_pod(of, number) for number in range(of.randint(4, 7))]
    return [*namespaces, *pods, *(_policy(of, number) for number in range(of.randint(1, 7)))]


def _question(program: list[Manifest]) -> Manifest:
    def of_kind(kind: str) -> list[Manifest]:
        return [each for each in program if each["kind"] == kind]

    return {
        "namespaces": {
            name: {**each["metadata"]["labels"], "kubernetes.io/metadata.name": name}
            for each in of_kind("Namespace")
            for name in [each["metadata"]["name"]]
        },
        "pods": [
            {
                "namespace": each["metadata"]["namespace"],
                "labels": each["metadata"]["labels"],
                "ports": each["spec"]["containers"][0]["ports"],
                "address": each["status"]["podIP"],
                "hostNetwork": each["spec"]["hostNetwork"],
            }
            for each in of_kind("Pod")
        ],
        "addresses": ADDRESSES,
        "policies": of_kind("NetworkPolicy"),
        "ports": [{"number": number, "protocol": protocol} for number, protocol in ASKED],
    }


def _answer(program: list[Manifest]) -> str:
    pods = [
        replace(pod, address=each["status"]["podIP"])
        for each in program
        if each["kind"] == "Pod"
        for pod in running(each)
    ]
    network = replace(Network.of(program), pods=pods)
    ends = [*pods, *ADDRESSES]
    return "".join(
        str(int((protocol, number) in opened))
        for source in ends
        for target in ends
        for opened in [network.opened(source, target)]
        for number, protocol in ASKED
    )


@pytest.fixture(scope="module")
def cyclonus() -> Callable[[list[Manifest]], list[str]]:
    """Return what asks cyclonus, built if the cache lacks it; a build that fails is a failure of the test."""
    built = toolchain.build(print, [toolchain.Module("cyclonus", packages=(".",), source=SOURCE)])

    def ask(questions: list[Manifest]) -> list[str]:
        ran = subprocess.run(
            [built / "cyclonus"], input=json.dumps(questions), capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return cast("list[str]", json.loads(ran.stdout))

    return ask


def test_the_truth_tables_are_those_of_cyclonus(cyclonus: Callable[[list[Manifest]], list[str]]) -> None:
    programs = [_program(seed) for seed in range(PROGRAMS)]
    said = cyclonus([_question(program) for program in programs])
    for seed, (program, answer) in enumerate(zip(programs, said, strict=True)):
        assert _answer(program) == answer, f"seed {seed}: {_where(program, answer)}"
    share = "".join(said).count("1") / len("".join(said))
    assert 0.2 < share < 0.8, "the programs allow some things and refuse others"


def _where(program: list[Manifest], answer: str) -> Any:
    """Return the first connection that the two do not agree about."""
    ends = [*(each["metadata"]["name"] for each in program if each["kind"] == "Pod"), *ADDRESSES]
    asked = [(source, target, port) for source in ends for target in ends for port in ASKED]
    return next(each for each, ours, theirs in zip(asked, _answer(program), answer, strict=True) if ours != theirs)
