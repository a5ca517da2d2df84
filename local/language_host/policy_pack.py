# ruff: noqa: ARG002, N802 - the names and the arguments of a service are its protocol's
"""Serve one policy pack: `python policy_pack.py DIRECTORY` prints the port, then runs the pack's program.

The engine tells an analyzer which stack it is about only once it is being served (ConfigureStack), while a pack may ask for it
as soon as it is imported, to choose its levels. So the port is opened first, the pack is run when the stack is known, and the
rules it declares are answered for from here: `PolicyPack(…)` hands its servicer over instead of serving it on a port of its own.
"""

import gc
import json
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, cast

sys.path.pop(0)

import grpc
import pulumi.runtime
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

_LARGEST_MESSAGE = 400 * 1024 * 1024
_COLLECT_EVERY = 100_000  # objects made between two collections of garbage, as in program.py and for its reason


class _Served:
    """The Analyzer service: the stack first, then whatever the pack itself answers."""

    def __init__(self) -> None:
        self._stack_known = threading.Event()
        self._ready = threading.Event()
        self._pack: Any = None
        self._remediates = True
        self._failure = ""

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return analyzer_pb2.AnalyzerHandshakeResponse()

    def ConfigureStack(self, request: Any, context: grpc.ServicerContext) -> Any:
        # The SDK reads these for every resource, in whichever thread it is asked.
        os.environ.update(
            PULUMI_PROJECT=request.project,
            PULUMI_STACK=request.stack,
            PULUMI_ORGANIZATION=request.organization,
            PULUMI_DRY_RUN="true" if request.dry_run else "false",
            PULUMI_CONFIG=json.dumps(dict(request.config)),
            PULUMI_CONFIG_SECRET_KEYS=json.dumps(list(request.config_secret_keys)),
        )
        return self._answer("ConfigureStack", request, context)

    def __getattr__(self, method: str) -> Any:
        """Pass every other call on to the pack."""

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            return self._answer(method, request, context)

        return answer

    def offers(self, method: str) -> bool:
        """Return whether there is such a method: no remediation where no rule has one, which the engine asks for of each resource."""
        return self._remediates or not method.endswith("/Remediate")

    def wait_for_stack(self) -> None:
        """Wait for the stack, or for the first question: an analysis without a stack asks it at once."""
        self._stack_known.wait()

    def take_over(self, servicer: Any, _server: Any) -> NoReturn:
        """Answer with the pack's own servicer from now on; never return, as the pack expects of its constructor."""
        self._pack = servicer
        self._remediates = _remediates(servicer)
        gc.freeze()
        gc.set_threshold(_COLLECT_EVERY)
        self._ready.set()
        threading.Event().wait()
        raise AssertionError

    def fail(self, message: str) -> None:
        """Answer every call with what kept the pack from starting."""
        self._failure = message
        self._ready.set()

    def _answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        self._stack_known.set()
        self._ready.wait()
        if self._failure:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, self._failure)
        return getattr(self._pack, method)(request, context)


class _Methods(grpc.GenericRpcHandler):
    """The methods of the service, as far as the pack has them: one that it has not costs the server a third of an empty answer."""

    def __init__(self, served: _Served) -> None:
        self._served = served
        analyzer_pb2_grpc.add_AnalyzerServicer_to_server(cast("Any", served), cast("Any", self))

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        (self._all,) = handlers

    def add_registered_method_handlers(self, _service: str, _handlers: Mapping[str, Any]) -> None:
        """Register none, for the server would not ask again whether there is such a method."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._all.service(handler_call_details) if self._served.offers(handler_call_details.method) else None


def _remediates(servicer: Any) -> bool:
    """Return whether any of a pack's policies does, which the SDK keeps to itself; the lock file pins its version."""
    from pulumi_policy import ResourceValidationPolicy  # noqa: PLC0415 - the pack's, which has imported it by now

    policies = servicer._PolicyAnalyzerServicer__policies  # noqa: SLF001
    return any(policy.has_remediation() for policy in policies if isinstance(policy, ResourceValidationPolicy))


def _end_with_host() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def main() -> int:
    """Serve, run the pack, and stay until the host ends us."""
    directory = Path(sys.argv[1])
    served = _Served()
    server = grpc.server(
        ThreadPoolExecutor(max_workers=4),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ],
    )
    server.add_generic_rpc_handlers((_Methods(served),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Thread(target=_end_with_host, daemon=True).start()

    served.wait_for_stack()
    if "PULUMI_STACK" in os.environ:
        pulumi.runtime.configure(
            pulumi.runtime.Settings(
                project=os.environ["PULUMI_PROJECT"],
                stack=os.environ["PULUMI_STACK"],
                organization=os.environ["PULUMI_ORGANIZATION"],
                dry_run=os.environ["PULUMI_DRY_RUN"] == "true",
            )
        )
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server = served.take_over
    sys.argv = [str(directory)]
    sys.path.insert(0, str(directory))
    try:
        os.chdir(directory)
        runpy.run_path(str(directory), run_name="__main__")
        served.fail(f"{directory}: the policy pack ended without making a PolicyPack")
    except Exception as error:  # noqa: BLE001 - whatever a pack raises is for its author to read
        own = [
            frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(directory))
        ]
        shown = [*traceback.format_list(own), *traceback.format_exception_only(error)]
        served.fail(f"{directory}: the policy pack failed to start:\n{''.join(shown)}")
    threading.Event().wait()
    return 1


if __name__ == "__main__":
    sys.exit(main())
