"""The pack behind the SDK's own servicer: what is judged went through protobuf, as it does from the engine."""

import json
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, deserialize, proxy
from pulumi_policy import policy as sdk

from policies import exemptions, levels
from policies.pack import policies
from policies.rule import AnyRule, ProgramRule, StackRule
from policies.rules import RULES

UNKNOWN = proxy.UNKNOWN_STRING_VALUE

Manifest = dict[str, Any]


def secret(value: Any) -> Manifest:
    """Return a value as the engine sends it when it is secret."""
    return {deserialize.SPECIAL_SIG_KEY: deserialize.SPECIAL_SECRET_SIG, "value": value}


class Said(NamedTuple):
    """One diagnostic."""

    rule: str
    level: str
    message: str


def said_by(rule: AnyRule, manifests: Sequence[Manifest], stack: str = "prod") -> list[Said]:
    """Return what one rule, served alone, says of resources, whichever sort of rule it is; of registered ones, if it is about those."""
    served = _alone(rule, stack)
    if isinstance(rule, StackRule):
        said = served.analyze_stack(manifests)
    elif isinstance(rule, ProgramRule):
        said = [each for registered in manifests for each in served.register(registered)]
    else:
        said = [each for manifest in manifests for each in served.analyze(manifest)]
    return [each for each in said if each.rule == rule.name]


class Pack:
    """The pack as it is served for a stack."""

    def __init__(
        self,
        stack: str = "prod",
        rules: Sequence[AnyRule] = RULES,
        directory: Path = levels.HERE,
        today: Callable[[], date] = exemptions.today,
    ) -> None:
        found = policies(stack, rules, directory=directory, today=today)
        self.servicer: Any = sdk._PolicyAnalyzerServicer("platform", "1.0.0", found, EnforcementLevel.MANDATORY)

    def analyze(self, manifest: Manifest, token: str = "") -> list[Said]:
        """Return what is said of one resource by the rules that look at each by itself."""
        request = analyzer_pb2.AnalyzeRequest(**_resource(manifest, token, 0))
        return _said(self.servicer.Analyze(request, None))

    def register(self, registered: Manifest) -> list[Said]:
        """Return what is said of one resource as a program registers it: `token`, `name`, `properties` and `options`."""
        request = analyzer_pb2.AnalyzeRequest(**_resource_registered(registered))
        return _said(self.servicer.Analyze(request, None))

    def analyze_stack(self, manifests: Sequence[Manifest], registered: Sequence[Manifest] = ()) -> list[Said]:
        """Return what is said of all resources together, objects and those given as a program registers them."""
        resources = [analyzer_pb2.AnalyzerResource(**_resource(each, "", n)) for n, each in enumerate(manifests)]
        resources += [analyzer_pb2.AnalyzerResource(**_resource_registered(each)) for each in registered]
        return _said(self.servicer.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=resources), None))


def token(manifest: Manifest) -> str:
    """Return the type that the provider has for an object."""
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    group = version if isinstance(version, str) and "/" in version else f"core/{version}"
    return f"kubernetes:{group}:{kind if isinstance(kind, str) else 'Deployment'}"


def without_coverage(directory: Path, **levels_: str) -> Path:
    """Write levels and exemptions for a few objects, of which most boxes have none; return where."""
    for stack in ("dev", "prod"):
        given = json.loads((levels.HERE / f"levels.{stack}.json").read_text())
        text = json.dumps({**given, "security-boxes-covered": "disabled", **levels_})
        (directory / f"levels.{stack}.json").write_text(text)
    (directory / "exemptions.yaml").write_text("[]")
    return directory


@cache
def _alone(rule: AnyRule, stack: str) -> Pack:
    return Pack(stack, rules=[rule])


def _resource(manifest: Manifest, given: str, number: int) -> dict[str, Any]:
    properties = Struct()
    properties.update(manifest)
    kind = given or token(manifest)
    urn = f"urn:pulumi:prod::platform::{kind}::it-{number}"
    return {"type": kind, "urn": urn, "name": f"it-{number}", "properties": properties}


def _resource_registered(registered: Manifest) -> dict[str, Any]:
    found = {**_resource(registered["properties"], registered["token"], 0), "name": registered["name"]}
    options: Manifest = registered.get("options", {})
    # Without the second flag, the first one is a default that nobody set.
    options = {"deleteBeforeReplaceDefined": "deleteBeforeReplace" in options, **options}
    return {**found, "options": analyzer_pb2.AnalyzerResourceOptions(**options)}


def _said(response: Any) -> list[Said]:
    names = {0: "advisory", 1: "mandatory"}
    diagnostics: list[Any] = list(response.diagnostics)
    return [
        Said(found.policyName, names[found.enforcementLevel], found.message.partition("\n")[2]) for found in diagnostics
    ]
