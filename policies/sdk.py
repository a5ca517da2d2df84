"""Have the SDK read each resource once, and hand it to the rules as plain data.

The SDK takes every resource apart anew for each rule, its options and its provider with it, makes a list of all of them for each
rule about a stack, and reads once more for remediations even where no rule has one: that is most of what hundreds of rules cost.
So the rules about one resource are asked before the SDK asks them: where none finds anything, which is nearly always, that is all.
What it hands over is no dict, compares by identity, raises on the first unknown value even for `in`, and has forgotten which
values are secret. Its names for this are private: the lock file pins its version, and a test goes through all of it.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, cast

from google.protobuf import struct_pb2
from pulumi_policy import (
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    policy,
)

from policies.judge import Stack, judge_registered, passes
from policies.plain import plain
from policies.rule import Plain, ProgramRule, Registered, Rule

Validation = Callable[[ResourceValidationArgs, ReportViolation], None]


class _Wire(dict[str, Any]):
    """The properties of a resource as they were sent, with what they are in plain."""

    def __init__(self, sent: dict[str, Any]) -> None:
        super().__init__(sent)
        self.plain = Plain(plain(sent))


@cache
def _read(sent: bytes) -> _Wire:
    return _Wire(_struct(struct_pb2.Struct.FromString(sent)))


def _struct(message: struct_pb2.Struct) -> dict[str, Any]:
    return {key: _value(value) for key, value in message.fields.items()}


def _value(message: struct_pb2.Value) -> Any:
    """Return a value as it is in JSON; unlike protobuf's own, also one that JSON cannot tell, as a number that is none."""
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(message.struct_value)
    if kind == "list_value":
        return [_value(each) for each in message.list_value.values]
    return None if kind is None or kind == "null_value" else getattr(message, kind)


class _Reader:
    """Reads messages; the last one, which each rule asks for in turn, without comparing it with the others first."""

    def __init__(self) -> None:
        self.last: tuple[struct_pb2.Struct | None, _Wire] = (None, _Wire({}))

    def read(self, message: struct_pb2.Struct) -> _Wire:
        last, wire = self.last
        if message is not last:
            wire = _read(message.SerializeToString(deterministic=True))
            self.last = (message, wire)  # kept, and so no other message can come to be the same object
        return wire


_READER = _Reader()


class _Resources(list[PolicyResource]):
    """All resources of a stack as the SDK hands them on, and as the rules look at them."""

    def __init__(self, sent: Any) -> None:
        super().__init__(
            PolicyResource(
                each.type, _READER.read(each.properties).plain, each.urn, each.name, each.options, None, None, [], {}
            )
            for each in sent
        )
        # By URN: the engine sends them in another order each time.
        objects = sorted((each for each in self if is_object(each)), key=lambda resource: resource.urn)
        self.stack = Stack(
            [(cast("Plain", each.props), each.resource_type) for each in objects], [registered(each) for each in self]
        )


_SENT: ContextVar[_Resources] = ContextVar("_SENT")


def is_object(resource: ResourceValidationArgs | PolicyResource) -> bool:
    """Return whether a resource is an object of Kubernetes."""
    return resource.resource_type.startswith("kubernetes:")


@lru_cache(maxsize=1)
def registered(resource: ResourceValidationArgs | PolicyResource) -> Registered:
    """Return a resource as the program registers it."""
    options: Any = resource.opts  # the message itself
    return Registered(
        token=resource.resource_type,
        name=resource.name,
        properties=cast("Plain", resource.props),
        protect=options.protect,
        delete_before_replace=options.deleteBeforeReplace,
        ignore_changes=tuple(options.ignoreChanges),
        additional_secret_outputs=tuple(options.additionalSecretOutputs),
    )


def stack(args: StackValidationArgs) -> Stack:
    """Return all resources, which are one and the same for every rule."""
    return cast("_Resources", args.resources).stack


class ResourcePolicy(ResourceValidationPolicy):
    """The policy that a rule about one resource is."""

    def __init__(self, rule: Rule | ProgramRule, validate: Validation, **described: Any) -> None:
        super().__init__(rule.name, rule.description, validate, **described)
        self.rule = rule


def _passes(rules: Sequence[Rule | ProgramRule], args: ResourceValidationArgs) -> bool:
    of_objects = [rule for rule in rules if isinstance(rule, Rule)] if is_object(args) else []
    of_registered = [rule for rule in rules if isinstance(rule, ProgramRule)]
    return passes(of_objects, cast("Plain", args.props), args.resource_type) and not any(
        judge_registered(rule, registered(args)) for rule in of_registered
    )


@cache
def read_once() -> None:
    """Make the SDK do so, for this process, whose rules need no provider and remediate nothing, and read options as they are sent."""
    sdk: Any = policy
    deserialize, proxied = sdk.deserialize_properties, sdk.unknown_checking_proxy

    def deserialize_properties(sent: dict[str, Any]) -> Any:
        return sent.plain if isinstance(sent, _Wire) else deserialize(sent)

    def unknown_checking_proxy(properties: Any) -> Any:
        return properties if isinstance(properties, Plain) else proxied(properties)

    def options(_self: Any, request: Any) -> Any:
        return request.options

    def provider(_self: Any, _request: Any) -> None:
        return None

    def remediate(_self: Any, _request: Any, _context: Any) -> Any:
        return sdk.proto.RemediateResponse()

    servicer = sdk._PolicyAnalyzerServicer  # noqa: SLF001 - as the module says
    analyze, analyze_each = servicer.Analyze, servicer.AnalyzeStack

    def analyze_at_once(served: Any, request: Any, context: Any) -> Any:
        properties = _READER.read(request.properties).plain
        args = ResourceValidationArgs(request.type, properties, request.urn, request.name, request.options, None)
        known = served._PolicyAnalyzerServicer__policies  # noqa: SLF001
        if _passes([each.rule for each in known if type(each) is ResourcePolicy], args):
            return sdk.proto.AnalyzeResponse()
        return analyze(served, request, context)

    def analyze_stack(served: Any, request: Any, context: Any) -> Any:
        _SENT.set(_Resources(request.resources))
        return analyze_each(served, SimpleNamespace(resources=()), context)

    def sent(_none: Any, config: Any, tags: Any) -> StackValidationArgs:
        return StackValidationArgs(_SENT.get(), config, tags)

    servicer._get_resource_options = options  # noqa: SLF001
    servicer._get_provider_resource = provider  # noqa: SLF001
    servicer.Remediate = remediate
    servicer.Analyze = analyze_at_once
    servicer.AnalyzeStack = analyze_stack
    sdk.StackValidationArgs = sent
    sdk.json_format = SimpleNamespace(MessageToDict=_READER.read)
    sdk.deserialize_properties = deserialize_properties
    sdk.unknown_checking_proxy = unknown_checking_proxy
