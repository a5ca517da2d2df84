"""Have the SDK read each resource once, and hand it to the rules as plain data.

The SDK takes every resource apart anew for each rule, which for a whole program is most of what the pack costs; and what it
hands over is no dict, compares by identity, raises on the first unknown value even for `in`, and has forgotten which values
are secret. Its names for this are private: the lock file pins its version, and a test goes through all of it.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

from google.protobuf import json_format, struct_pb2
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
    return _Wire(json_format.MessageToDict(struct_pb2.Struct.FromString(sent)))


def _wire(message: struct_pb2.Struct) -> _Wire:
    return _read(message.SerializeToString(deterministic=True))


@cache
def read_once() -> None:
    """Make the SDK do so, for this process. What a remediation is given stays as it was."""
    sdk: Any = policy
    deserialize, proxied = sdk.deserialize_properties, sdk.unknown_checking_proxy

    def deserialize_properties(sent: dict[str, Any], proxy_secrets: bool = False) -> Any:
        return sent.plain if isinstance(sent, _Wire) and not proxy_secrets else deserialize(sent, proxy_secrets)

    def unknown_checking_proxy(properties: Any) -> Any:
        return properties if isinstance(properties, Plain) else proxied(properties)

    sdk.json_format = SimpleNamespace(MessageToDict=_wire)
    sdk.deserialize_properties = deserialize_properties
    sdk.unknown_checking_proxy = unknown_checking_proxy
