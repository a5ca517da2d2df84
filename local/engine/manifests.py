"""Write a preview's plan as one YAML file per object: `python manifests.py DIRECTORY PULUMI preview …` prints how many.

It runs inside the virtual environment, for PyYAML. The plan has every object whole, with its secrets marked and in plain text;
it comes through a pipe, and no secret leaves this process.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import yaml

_MARK = "4dabf18193072939515e22adb298388d"  # the key by which the engine marks a value that is more than its JSON
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # what stands for a value that only `up` will know
_AUTONAMED = "pulumi.com/autonamed"
_SUFFIX = 8


class _Dumper(yaml.SafeDumper):
    """YAML for reading: keys in the order of a manifest, long text as a block."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def objects(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the Kubernetes objects of a plan: no secret, no random name, in a fixed order."""
    found = list[tuple[str, dict[str, Any]]]()
    for urn, step in plan["resourcePlans"].items():
        state: dict[str, Any] = step.get("state") or {}
        goal: dict[str, Any] = step.get("goal") or {}
        if str(goal.get("type")).startswith("kubernetes:") and "kind" in state:
            found.append((urn, _masked(_manifest(state))))
    names = {
        found_object["metadata"]["name"]: _stable(urn, found_object["metadata"]["name"])
        for urn, found_object in found
        if found_object["metadata"].get("annotations", {}).get(_AUTONAMED) == "true"
    }
    manifests = [found_object for _, found_object in found]
    _name_keys(manifests)
    return sorted((_renamed(manifest, names) for manifest in manifests), key=_path)


def write(manifests: Sequence[dict[str, Any]], directory: Path) -> None:
    """Make `directory` hold these objects and nothing else."""
    partial = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for manifest in manifests:
        file = partial / _path(manifest)
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            raise ValueError(f"{_path(manifest)}: two objects of this kind and name")
        file.write_text(yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True))
    shutil.rmtree(directory, ignore_errors=True)
    partial.rename(directory)


def _manifest(state: dict[str, Any]) -> dict[str, Any]:
    """Return the object in the order people write it, without what the provider keeps for itself."""
    first = ("apiVersion", "kind", "metadata")
    rest = sorted(key for key in state if key not in first and not key.startswith("__") and key not in ("id", "status"))
    return {key: state[key] for key in (*first, *rest) if key in state}


def _map(value: Any) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any] | None:
    return cast("list[Any]", value) if isinstance(value, list) else None


def _masked(value: Any, *, secret: bool = False) -> Any:
    """Return the value with each secret leaf as `<secret>`: the keys of a secret map are no secret, its values are."""
    if (items := _list(value)) is not None:
        return [_masked(inner, secret=secret) for inner in items]
    if (pairs := _map(value)) is not None:
        if _MARK in pairs:
            return _masked(json.loads(pairs.get("plaintext", '""')), secret=True)
        return {key: _masked(inner, secret=secret) for key, inner in pairs.items()}
    if secret:
        return "<secret>"
    return value.replace(_UNKNOWN, "<known after up>") if isinstance(value, str) else value


def _name_keys(manifests: Sequence[dict[str, Any]]) -> None:
    """Give each Secret its keys, all under stringData: those it has, or those that the pods read if only `up` will know."""
    read: dict[tuple[str, str], set[str]] = {}
    for manifest in manifests:
        namespace = str(manifest["metadata"].get("namespace", ""))
        for secret, key in _references(manifest.get("spec")):
            read.setdefault((namespace, secret), set()).add(key)
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            metadata, held = manifest["metadata"], [manifest.pop(part, None) for part in ("data", "stringData")]
            keys = {key for part in held for key in _map(part) or ()}
            if any(isinstance(part, str) for part in held):
                keys |= read.get((str(metadata.get("namespace", "")), metadata["name"]), set())
            manifest["stringData"] = dict.fromkeys(sorted(keys), "<secret>")


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (Secret, key) for each key that a pod template reads: variables, projected files, files mounted one by one."""
    for inner in _list(value) or []:
        yield from _references(inner)
    pod = _map(value) or {}
    for inner in pod.values():
        yield from _references(inner)
    if reference := _map(pod.get("secretKeyRef")):
        yield reference["name"], reference["key"]
    for volume in _list(pod.get("volumes")) or []:
        if secret := volume.get("secret"):
            yield from ((secret["secretName"], key) for key in _mounted(volume["name"], secret, pod))


def _mounted(volume: str, secret: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    items: list[dict[str, Any]] = secret.get("items") or []
    yield from (item["key"] for item in items)
    containers: list[dict[str, Any]] = [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]
    mounts = (mount for container in containers for mount in _list(container.get("volumeMounts")) or [])
    yield from (mount["subPath"] for mount in mounts if mount["name"] == volume and "subPath" in mount)


def _stable(urn: str, name: str) -> str:
    """Return the name with its random end replaced by one that only depends on which resource it is."""
    return f"{name[:-_SUFFIX]}{hashlib.sha256(urn.encode()).hexdigest()[:_SUFFIX]}"


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if (items := _list(value)) is not None:
        return [_renamed(inner, names) for inner in items]
    if (pairs := _map(value)) is not None:
        return {key: _renamed(inner, names) for key, inner in pairs.items()}
    if isinstance(value, str) and names:
        return re.sub("|".join(map(re.escape, names)), lambda match: names[match[0]], value)
    return value


def _path(manifest: dict[str, Any]) -> str:
    metadata = manifest["metadata"]
    return f"{metadata.get('namespace', '_cluster')}/{manifest['kind'].lower()}-{metadata['name']}.yaml"


def _planned(command: Sequence[str]) -> dict[str, Any] | str:
    """Run the preview and return its plan, or what it complained about."""
    end, descriptor = os.pipe()
    plan = list[bytes]()

    def read() -> None:
        with os.fdopen(end, "rb") as pipe:
            plan.append(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(
        [*command, "--show-secrets", "--save-plan", f"/dev/fd/{descriptor}"],
        capture_output=True,
        pass_fds=[descriptor],
        check=False,
    )
    os.close(descriptor)
    reader.join()
    if done.returncode == 0:
        return json.loads(plan[0])
    diagnostics: list[dict[str, Any]] = []
    with suppress(ValueError):
        diagnostics = json.loads(done.stdout).get("diagnostics") or []
    said = [str(it["message"]).strip() for it in diagnostics if it.get("severity") == "error"]
    return "\n".join(said) or done.stderr.decode(errors="replace")


def main() -> int:
    """Preview, mask, write."""
    directory, command = Path(sys.argv[1]), sys.argv[2:]
    planned = _planned(command)
    if isinstance(planned, str):
        print(planned, file=sys.stderr)
        return 1
    manifests = objects(planned)
    write(manifests, directory)
    print(len(manifests))
    return 0


if __name__ == "__main__":
    sys.exit(main())
