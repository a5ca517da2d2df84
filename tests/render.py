"""Run the real program under mocks and return the Kubernetes manifests it would apply, secrets masked."""

import functools
import json
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from google.protobuf import json_format
from pulumi.runtime import mocks
from pulumi.runtime.stack import Stack

ROOT = Path(__file__).parents[1]
STACKS = ("dev", "staging", "prod")
SECRET = "<secret>"
_SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"  # the SDK's marker of a secret value

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """What one run registered: manifests in a stable order, URNs with their parents and what they wait for, and the outputs.

    `registered` is every resource, of whatever provider, as it goes over the wire: its `token`, `name`, `properties` and `options`.
    """

    manifests: list[Manifest]
    registered: list[Manifest]
    parents: dict[str, str]
    dependencies: dict[str, set[str]]
    outputs: dict[str, Any]

    def of(self, kind: str) -> dict[str, Manifest]:
        """Return the manifests of one kind by `namespace/name`."""
        return {
            "/".join(filter(None, (m["metadata"].get("namespace"), m["metadata"]["name"]))): m
            for m in self.manifests
            if m["kind"] == kind
        }


class _Recorder(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.manifests: list[Manifest] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        state: Manifest = {**cast("Manifest", args.inputs)}
        if args.typ.startswith("kubernetes:"):
            state["metadata"] = {"name": f"{args.name}-auto", **state["metadata"]}
            self.manifests.append(state)
        if args.typ.startswith("random:"):
            state["result"] = f"{args.name}-generated"
        return f"{args.name}-id", state

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program may not look anything up while it runs, but calls {args.token}")


class _Monitor(mocks.MockMonitor):
    def __init__(self, recorder: _Recorder) -> None:
        super().__init__(recorder)
        self.parents: dict[str, str] = {}
        self.dependencies: dict[str, set[str]] = {}
        self.finished: dict[str, Any] = {}
        self.registered: list[Manifest] = []

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        assert urn not in self.parents, f"duplicate URN {urn}"
        # The engine refuses such a resource: the default provider might mean another cluster.
        assert request.provider or not request.type.startswith("kubernetes:"), f"{urn} has no provider"
        self.parents[urn] = request.parent
        self.dependencies[urn] = set(request.dependencies)
        self.registered.append(_registered(request))
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self.finished[request.urn] = pulumi.runtime.rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)


def stack_config(stack: str) -> dict[str, Any]:
    """Return the configuration committed for a stack."""
    return yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]


@functools.cache
def committed(stack: str) -> Rendered:
    """Return what a stack renders with its committed configuration. It is shared: copy before changing it."""
    return render(stack)


def render(stack_name: str, config: dict[str, Any] | None = None) -> Rendered:
    """Run `__main__.py` as `stack_name`, with its committed configuration or with `config`.

    Fails on a duplicate URN, on a Kubernetes object of no known cluster, on a component that did not register its outputs, and on any look-up.
    """
    recorder = _Recorder()
    monitor = _Monitor(recorder)
    pulumi.runtime.set_mocks(recorder, project="platform", stack=stack_name, preview=False, monitor=monitor)
    values = stack_config(stack_name) if config is None else config
    flat = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    pulumi.runtime.set_all_config(flat)

    @pulumi.runtime.test
    def run() -> None:
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    run()
    components = {urn for urn in monitor.parents if _own_type(urn).startswith("platform:")}
    assert components, "no component was registered"
    assert components <= set(monitor.finished), f"register_outputs missing: {components - set(monitor.finished)}"
    stack = pulumi.runtime.get_root_resource()
    assert isinstance(stack, Stack)
    manifests: list[Manifest] = [_plain(manifest) for manifest in recorder.manifests]
    return Rendered(
        registered=monitor.registered,
        manifests=sorted(
            manifests, key=lambda m: (m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"])
        ),
        parents=monitor.parents,
        dependencies=monitor.dependencies,
        outputs=_plain(stack.outputs),
    )


def _registered(request: Any) -> Manifest:
    options: Manifest = {
        "protect": request.protect,
        "deleteBeforeReplace": request.deleteBeforeReplace,
        "ignoreChanges": list(request.ignoreChanges),
        "additionalSecretOutputs": list(request.additionalSecretOutputs),
    }
    properties = json_format.MessageToDict(request.object)
    return {"token": request.type, "name": request.name, "properties": properties, "options": options}


def _own_type(urn: str) -> str:
    """Return the resource's own type: the last of the chain in `urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME`."""
    return urn.split("::")[2].rpartition("$")[2]


def _plain(value: Any) -> Any:
    """Return the value with secrets masked, keys sorted, and the integers that protobuf made floats."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        if _SECRET_SIGNATURE in items:
            return SECRET
        return {key: _plain(item) for key, item in sorted(items.items())}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value
