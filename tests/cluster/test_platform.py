"""The stack as a whole: hardened for real, unchanged by a second `up`, honest about drift, free of secrets, removable."""

import base64
import os
import re
import subprocess
from pathlib import Path

import pytest

from local.engine.home import state_directory
from local.node.layout import LOGS
from tests.cluster.conftest import STACK, Platform, eventually, local

NAMESPACES = ("app", "data", "security")
PASSWORDS = {"postgres": 10, "redis": 7, "objects": 5, "the encryption of backups": 1}
CALL_THE_API = {"postgres", "cert-manager"}


def test_every_pod_really_runs_confined(platform: Platform) -> None:
    """Read off the processes themselves: user, capabilities, privilege escalation, seccomp, root file system."""
    seen = 0
    for namespace in NAMESPACES:
        for pod in platform.node.get("pods", f"--namespace={namespace}")["items"]:
            if pod["status"]["phase"] != "Running":
                continue
            process = Path(f"/proc/{platform.node.process(pod)}")
            status = dict(
                line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
            )
            name = pod["metadata"]["name"]
            assert "0" not in status["Uid"].split(), name
            assert "0" not in status["Gid"].split(), name
            for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(status[kind], 16) == 0, (name, kind)
            assert status["NoNewPrivs"] == "1", name
            assert status["Seccomp"] == "2", name
            root = next(
                line.split() for line in (process / "mountinfo").read_text().splitlines() if line.split()[4] == "/"
            )
            assert "ro" in root[5].split(","), name
            # In an image of Debian's /var/run is a link, which would be followed on this machine, not in the container.
            token = any((process / "root" / run / "secrets/kubernetes.io").exists() for run in ("run", "var/run"))
            assert token == (pod["metadata"]["labels"]["app.kubernetes.io/name"] in CALL_THE_API), name
            seen += 1
    assert seen >= 9


def test_the_node_is_asked_by_its_own_kubectl(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare machine has none on PATH; here is one that fails."""
    del platform
    other = tmp_path / "kubectl"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "postgres-0" in local("status", "--stack", STACK).stdout
    assert local("url", "--stack", STACK).stdout.startswith("http://")


def test_autoscalers_see_what_they_scale_by(platform: Platform) -> None:
    def known() -> bool:
        scalers = platform.node.get("horizontalpodautoscalers", "--namespace=app")["items"]
        assert len(scalers) == 5
        return all("averageUtilization" in str(scaler["status"].get("currentMetrics")) for scaler in scalers)

    eventually("every autoscaler has a metric", known, 120)


def test_a_second_up_changes_nothing(platform: Platform) -> None:
    before = _versions(platform)
    done = local("up", "--stack", STACK)
    assert re.search(r"Resources:\s+\d+ unchanged\s", done.stdout), done.stdout
    assert _versions(platform) == before


def _versions(platform: Platform) -> dict[str, str]:
    """Return the generation of every object we declare; controllers' status updates do not count."""
    kinds = "deployments,statefulsets,services,networkpolicies,secrets,serviceaccounts,poddisruptionbudgets,jobs"
    return {
        f"{item['kind']}/{item['metadata']['namespace']}/{item['metadata']['name']}": str(
            item["metadata"].get("generation", item["metadata"]["uid"])
        )
        for namespace in NAMESPACES
        for item in platform.node.get(kinds, f"--namespace={namespace}")["items"]
    }


def test_a_manual_change_is_shown_exactly(platform: Platform) -> None:
    label = ["label", "service", "api", "--namespace=app", "--overwrite"]
    platform.node.kubectl(*label, "app.kubernetes.io/component=changed")
    try:
        changed = platform.engine().drift()
        assert [(change.operation, change.urn.rpartition("::")[2]) for change in changed] == [("update", "api")]
        assert "core/v1:Service" in changed[0].urn
    finally:
        platform.node.kubectl(*label, "app.kubernetes.io/component=api")
    assert platform.engine().drift() == []


def test_no_password_is_anywhere_but_in_secret_objects(platform: Platform) -> None:
    """The platform's real passwords are searched for in everything that was written or is running."""
    passwords: set[str] = set()
    for namespace in NAMESPACES:
        for secret in platform.node.get("secrets", f"--namespace={namespace}")["items"]:
            # In a key's text, anything may look like a password.
            for value in secret.get("data", {}).values() if secret["type"] == "Opaque" else ():
                passwords.update(re.findall(r"\b[A-Za-z0-9]{32}\b", base64.b64decode(value).decode()))
    assert len(passwords) == sum(PASSWORDS.values())
    local("render", "--stack", STACK)
    shown = local("preview", "--stack", STACK).stdout
    places = {"preview": shown}
    for folder in (state_directory(), LOGS, Path("build")):
        places |= {str(file): file.read_text(errors="ignore") for file in folder.rglob("*") if file.is_file()}
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            places[str(line)] = line.read_text(errors="ignore")
        except OSError:
            continue  # it ended meanwhile
    for namespace in NAMESPACES:
        for pod in platform.node.get("pods", f"--namespace={namespace}")["items"]:
            name = pod["metadata"]["name"]
            places[f"log of {name}"] = platform.node.kubectl("logs", name, f"--namespace={namespace}", "--tail=-1")
        places[f"pods of {namespace}"] = platform.node.kubectl("describe", "pods", f"--namespace={namespace}")
    assert len(places) > 100
    found = {place for place, text in places.items() for password in passwords if password in text}
    assert found == set()


def test_the_state_is_encrypted_and_private(platform: Platform) -> None:
    assert platform.outputs()
    assert state_directory().joinpath("passphrase").stat().st_mode & 0o777 == 0o600
    assert state_directory().joinpath("pulumi").stat().st_mode & 0o077 == 0


def test_the_committed_stack_file_is_untouched(platform: Platform) -> None:
    assert platform.url
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "Pulumi.*.yaml"], capture_output=True, text=True, check=True
    )
    assert changed.stdout == "" or "M" not in changed.stdout.split()[0]
