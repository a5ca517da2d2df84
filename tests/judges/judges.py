"""Programs of others that judge Kubernetes objects, each asked once about many: which of its checks which object fails."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from local import toolchain
from local.packages import virtual_environment
from policies.judge import reference
from tests.render import SECRET, Manifest

HERE = Path(__file__).parent
_CLUSTER = "kubernetes"  # the module of ours that knows the version of the cluster
_VERSION = "v" + toolchain.KUBERNETES.rpartition(".")[0]
_SNAPSHOTS = "github.com/kubernetes-csi/external-snapshotter/client/v8"


class Flag(NamedTuple):
    """One object of one file that fails a check."""

    check: str
    resource: str
    file: str


def written(manifests: Sequence[Manifest], place: Path) -> list[Path]:
    """Write each object to a file of its own, without what a render masks."""
    place.mkdir(parents=True, exist_ok=True)
    files = [place / f"{number:05}.yaml" for number in range(len(manifests))]
    for file, manifest in zip(files, manifests, strict=True):
        file.write_text(json.dumps({key: value for key, value in manifest.items() if value != SECRET}))
    return files


def checkov(place: Path, *, together: bool) -> set[Flag]:
    """Return what checkov finds in a folder, asking nobody; what it makes of objects together only if they belong together.

    It compares each pair of objects for that, which takes minutes for a thousand.
    """
    program = virtual_environment(HERE / "checkov" / "requirements.lock") / "bin" / "checkov"
    command = [program, "--framework=kubernetes", "--skip-download", "--quiet", "--compact", "--output=json"]
    # It takes any text for yes.
    alone = {"CREATE_EDGES": "", "CREATE_COMPLEX_VERTICES": ""}
    told = _told([*command, f"--directory={place}"], {} if together else alone)
    found = json.loads(told)
    assert "results" in found, "it found no objects"
    assert found["summary"]["parsing_errors"] == 0, found["summary"]
    return {
        Flag(each["check_id"], _called(each["resource"]), Path(each["file_path"]).stem)
        for each in found["results"]["failed_checks"]
    }


def _called(resource: str) -> str:
    """Return what we call `Deployment.app.api`; it gives all objects a namespace."""
    kind, namespace, name = resource.split(".", 2)
    return f"{kind} {name if kind.startswith(('Cluster', 'Namespace')) else f'{namespace}/{name}'}"


def kube_score(files: Sequence[Path]) -> tuple[set[Flag], list[Path]]:
    """Return what kube-score finds in files, with all of its checks, and the files that it cannot read.

    It ends at the first of those and does not say which it is, so both halves are asked then. That a processor limit is there
    it is not asked: it is part of a check with what we hold to, and what stands in waivers.yaml of CKV_K8S_11 goes for it.
    """
    command = [tools() / "kube-score", "score", "--output-format=json", f"--kubernetes-version={_VERSION}"]
    ran = subprocess.run(
        [*command, "--all-default-optional", "--ignore-container-cpu-limit", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.stdout.strip():
        return set(_scored(json.loads(ran.stdout) or [])), []
    if len(files) == 1:
        return set(), list(files)
    half = len(files) // 2
    (first, odd), (second, odder) = kube_score(files[:half]), kube_score(files[half:])
    return first | second, odd + odder


def _scored(objects: list[dict[str, Any]]) -> Iterator[Flag]:
    for each in objects:
        resource = reference({"kind": each["type_meta"]["kind"], "metadata": each["object_meta"]})
        for check in each["checks"]:
            if check["grade"] < 10 and not check["skipped"]:
                yield Flag(check["check"]["id"], resource, Path(each["file_name"]).stem)


def kubectl_validate(files: Sequence[Path], known: Path) -> dict[str, list[str]]:
    """Return what kubectl-validate, which is the API server's own code, finds wrong with each file."""
    command = [tools() / "kubectl-validate", "--output=json", f"--local-schemas={known}", f"--local-crds={known}"]
    # Of a cluster that is there it would ask what that one knows.
    told = json.loads(_told([*command, *files], {"KUBECONFIG": "/nowhere"}))
    return {
        Path(file).stem: [each["message"] for each in found if each["status"] != "Success"]
        for file, found in told.items()
    }


def known_in(place: Path, definitions: Path) -> Path:
    """Lay out what the cluster knows, as kubectl-validate wants it: the schemas of its version, and the definitions.

    Those that are not given are in Go modules, as the schemas are; nothing is compiled.
    """
    source = toolchain.module_directory(_CLUSTER, "k8s.io/kubernetes") / "api" / "openapi-spec" / "v3"
    for file in source.glob("api*__v*_openapi.json"):
        *above, version = file.name.removesuffix("_openapi.json").split("__")
        target = place.joinpath(*above, f"{version}.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    snapshots = toolchain.module_directory(_CLUSTER, _SNAPSHOTS) / "config" / "crd"
    for file in (*definitions.glob("*.yaml"), *snapshots.glob("snapshot.*.yaml")):
        shutil.copyfile(file, place / file.name)
    return place


@cache
def tools() -> Path:
    """Return the directory of the judges in Go, built if the cache lacks them."""
    return toolchain.build(print, [toolchain.Module("judges", source=HERE / "tools")])


def _told(command: Sequence[str | Path], environment: dict[str, str]) -> str:
    """Return what a judge writes; an exit code tells that it found something, so only silence is a failure."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert ran.stdout.strip(), ran.stderr
    return ran.stdout
