"""A policy pack as the engine sees it: a plugin that prints a port and answers for its rules."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, language_pb2

from tests.engine.fake_engine import Host, info, language_host

_PACK = """
import os, pulumi
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

stack = pulumi.get_stack() if "PULUMI_STACK" in os.environ else "no stack"

def judge(args, report):
    if args.props["size"] > pulumi.Config("toy").get_int("largest", 1):
        report(f"too large for {stack}")

PolicyPack("pack", [ResourceValidationPolicy("size", "Sizes.", judge, EnforcementLevel.MANDATORY)])
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    with language_host(tmp_path_factory.mktemp("host") / "host.log") as running:
        yield running


@contextmanager
def _served(host: Host, directory: Path, text: str) -> Generator[Any]:
    """Serve a pack, and yield what calls it."""
    directory.joinpath("__main__.py").write_text(text)
    request = language_pb2.RunPluginRequest(
        kind="analyzer", pwd=str(directory), args=["127.0.0.1:1"], info=info(directory), env=["PATH=/usr/bin:/bin"]
    )
    written = host.calls.RunPlugin(request)
    channel = grpc.insecure_channel(f"127.0.0.1:{int(next(written).stdout)}")
    try:
        yield analyzer_pb2_grpc.AnalyzerStub(channel)
    finally:
        channel.close()
        written.cancel()


def _judged(calls: Any, size: int) -> list[str]:
    properties = Struct()
    properties.update({"size": size})
    request = analyzer_pb2.AnalyzeRequest(
        type="toy:index:Thing", urn="urn:pulumi:dev::toy::toy:index:Thing::it", name="it", properties=properties
    )
    return [found.message.splitlines()[-1] for found in calls.Analyze(request).diagnostics]


def _remediated(calls: Any) -> list[dict[str, Any]]:
    request = analyzer_pb2.AnalyzeRequest(
        type="toy:index:Thing", urn="urn:pulumi:dev::toy::toy:index:Thing::it", name="it"
    )
    return [dict(made.properties) for made in calls.Remediate(request).remediations]


def _configure(calls: Any, **config: str) -> None:
    calls.Handshake(analyzer_pb2.AnalyzerHandshakeRequest(engine_address="127.0.0.1:1"))
    calls.ConfigureStack(
        analyzer_pb2.AnalyzerStackConfigureRequest(
            stack="dev", project="toy", organization="organization", config=config
        )
    )


def test_a_pack_knows_its_stack_when_it_is_imported_and_its_config_when_it_judges(host: Host, tmp_path: Path) -> None:
    with _served(host, tmp_path, _PACK) as calls:
        _configure(calls, **{"toy:largest": "5"})
        assert _judged(calls, 5) == []
        assert _judged(calls, 6) == ["too large for dev"]
        assert [policy.name for policy in calls.GetAnalyzerInfo(Empty()).policies] == ["size"]


def test_a_pack_that_remediates_is_asked_to_and_of_others_the_engine_is_told_that_they_do_not(
    host: Host, tmp_path: Path
) -> None:
    remediation = 'ResourceValidationPolicy("less", "Smaller.", remediate=lambda args: {"size": 1}, enforcement_level=EnforcementLevel.REMEDIATE), '
    with _served(host, tmp_path, _PACK.replace("[Resource", f"[{remediation}Resource")) as calls:
        _configure(calls)
        assert _remediated(calls) == [{"size": 1}]
    with _served(host, tmp_path, _PACK) as calls:
        _configure(calls)
        with pytest.raises(grpc.RpcError) as refused:
            calls.Remediate(analyzer_pb2.AnalyzeRequest())
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED  # pyright: ignore[reportAttributeAccessIssue]
        assert _judged(calls, 2) == ["too large for dev"]


def test_a_pack_is_served_without_a_stack(host: Host, tmp_path: Path) -> None:
    with _served(host, tmp_path, _PACK) as calls:
        assert _judged(calls, 2) == ["too large for no stack"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("\n1 / 0", '__main__.py", line 2'), ("1 / 0", "ZeroDivisionError"), ("", "ended without making a PolicyPack")],
)
def test_a_pack_that_does_not_start_says_why(host: Host, tmp_path: Path, text: str, message: str) -> None:
    with _served(host, tmp_path, text) as calls, pytest.raises(grpc.RpcError, match=message):
        _configure(calls)
