# ruff: noqa: ARG002 - the arguments of a service are its protocol's
"""The engine's side of a language host: what it says to one, and what a program says to it, recorded."""

import subprocess
import sys
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

HOST = Path(__file__).parents[2] / "local" / "language_host" / "__main__.py"


class FakeEngine(engine_pb2_grpc.EngineServicer, resource_pb2_grpc.ResourceMonitorServicer):
    """Answers a program as the engine would, and keeps its messages and its stack's outputs."""

    def __init__(self) -> None:
        self.messages = list[str]()
        self.outputs: dict[str, Any] = {}
        self._root = ""

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> Empty:
        if request.severity > engine_pb2.LogSeverity.DEBUG:
            self.messages.append(request.message)
        return Empty()

    def GetRootResource(
        self, request: engine_pb2.GetRootResourceRequest, context: grpc.ServicerContext
    ) -> engine_pb2.GetRootResourceResponse:
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    def SetRootResource(
        self, request: engine_pb2.SetRootResourceRequest, context: grpc.ServicerContext
    ) -> engine_pb2.SetRootResourceResponse:
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def GetDeploymentInfo(self, request: Empty, context: grpc.ServicerContext) -> resource_pb2.DeploymentInfo:
        return resource_pb2.DeploymentInfo(supportedFeatures=[resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS])

    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: grpc.ServicerContext
    ) -> resource_pb2.RegisterResourceResponse:
        urn = f"urn:pulumi:dev::toy::{request.type}::{request.name}"
        return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)

    def RegisterResourceOutputs(
        self, request: resource_pb2.RegisterResourceOutputsRequest, context: grpc.ServicerContext
    ) -> Empty:
        self.outputs = MessageToDict(request.outputs)
        return Empty()

    def SignalAndWaitForShutdown(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        return Empty()


class Host:
    """A language host that was started for a fake engine, and that engine."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", port: int, engine: FakeEngine, server: grpc.Server, address: str
    ) -> None:
        self.process = process
        self.engine_server = server
        self.engine = engine
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.calls: Any = language_pb2_grpc.LanguageRuntimeStub(self.channel)  # generated, and typed only in part
        self._address = address

    def run(
        self, program: Path, config: Mapping[str, str] | None = None, *, secret_keys: tuple[str, ...] = ()
    ) -> language_pb2.RunResponse:
        """Run a program to its end."""
        return self.calls.Run(self.request(program, config, secret_keys=secret_keys), timeout=60)

    def request(
        self, program: Path, config: Mapping[str, str] | None = None, *, secret_keys: tuple[str, ...] = ()
    ) -> language_pb2.RunRequest:
        """Return the request to run a program as stack `dev` of project `toy`."""
        return language_pb2.RunRequest(
            project="toy",
            stack="dev",
            organization="organization",
            pwd=str(program),
            monitor_address=self._address,
            parallel=4,
            config=config or {},
            configSecretKeys=secret_keys,
            info=info(program),
        )


def info(program: Path, **options: str) -> language_pb2.ProgramInfo:
    """Return where a program is."""
    found = language_pb2.ProgramInfo(root_directory=str(program), program_directory=str(program), entry_point=".")
    found.options.update(options)
    return found


@contextmanager
def language_host(log: Path) -> Generator[Host]:
    """Run a language host with its output, and that of the programs, in `log`."""
    engine = FakeEngine()
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(engine, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(HOST), "-v=3", "--logtostderr", address], stdout=subprocess.PIPE, stderr=errors
        )
    assert process.stdout is not None
    host = Host(process, int(process.stdout.readline()), engine, server, address)
    try:
        yield host
    finally:
        host.channel.close()
        process.kill()
        process.wait()
        process.stdout.close()
        server.stop(None).wait()
