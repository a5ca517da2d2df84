"""Who may talk to whom is declared in one file, which says what it means or is refused."""

from pathlib import Path

import pytest
import yaml

from policies.levels import PackError
from policies.tiers import FILE, TIERS, Tiers
from tests.render import STACKS, committed


def test_a_port_is_of_tcp_unless_it_says_otherwise() -> None:
    assert ("TCP", 5432) in TIERS.declared("app", "data")
    assert ("UDP", 53) in TIERS.declared("app", "kube-system")
    assert ("UDP", 5432) not in TIERS.declared("app", "data")
    assert not TIERS.declared("app", "security")


def test_every_namespace_and_workload_that_is_declared_is_of_some_stack() -> None:
    rendered = [committed(stack) for stack in STACKS]
    namespaces = {name for each in rendered for name in each.of("Namespace")}
    rows = [row for each in rendered for row in each.outputs["connections"]]
    known = {str(row[end]) for row in rows for end in ("client", "server")}
    servers = {f"{name}" for each in rendered for kind in ("Deployment", "StatefulSet") for name in each.of(kind)}
    assert TIERS.reaches.keys() <= namespaces | {"outside"}
    assert TIERS.servers.keys() <= servers
    for workloads in (TIERS.internet, TIERS.machines, *TIERS.servers.values()):
        assert set(workloads) <= known


@pytest.mark.parametrize(
    "text",
    ["[", "[]", "tiers: {}", "a: b", "null"],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tiers.yaml").write_text(text)
    with pytest.raises(PackError, match=r"^tiers\.yaml: "):
        Tiers.load(tmp_path / "tiers.yaml")


def test_a_protocol_that_there_is_not_is_refused(tmp_path: Path) -> None:
    given = yaml.safe_load(FILE.read_text())
    given["tiers"]["app"]["data"] = ["53/DNS"]
    (tmp_path / "tiers.yaml").write_text(yaml.safe_dump(given))
    with pytest.raises(PackError, match=r"53/DNS: no such protocol; it is one of TCP, UDP, SCTP"):
        Tiers.load(tmp_path / "tiers.yaml")
