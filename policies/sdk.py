"""Have the SDK read each resource once, and hand it to the rules as plain data.

The SDK takes every resource apart anew for each rule, its options and its provider with it, and once more for remediations even
where no rule has one: for a whole program that is most of what the pack costs. What it hands over is no dict, compares by
identity, raises on the first unknown value even for `in`, and has forgotten which values are secret. Its names for this are
private: the lock file pins its version, and a test goes through all of it.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

from google.protobuf import struct_pb2
from pulumi_policy import policy

from policies.plain import plain


class Plain(dict[str, Any]):
    """The properties of a resource, as rules read them."""


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
    servicer._get_resource_options = options  # noqa: SLF001
    servicer._get_provider_resource = provider  # noqa: SLF001
    servicer.Remediate = remediate
    sdk.json_format = SimpleNamespace(MessageToDict=_Reader().read)
    sdk.deserialize_properties = deserialize_properties
    sdk.unknown_checking_proxy = unknown_checking_proxy
