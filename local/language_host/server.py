# ruff: noqa: ARG002, N802 - the names and the arguments of a service are its protocol's
"""The LanguageRuntime service: one method per question the engine asks."""

import base64
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import grpc
from google.protobuf.empty_pb2 import Empty

from local.language_host import children, interpreter, packages, protocol

_MESSAGE_SHOWN = 32  # the exit code by which a child says that the user has already been told what is wrong


class LanguageHost(protocol.LanguageRuntimeServicer):
    """Runs Python programs and policy packs for the engine at `engine`."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._prepared: children.Program | None = None

    def Handshake(
        self, request: protocol.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> protocol.LanguageHandshakeResponse:
        """Take the engine's address from an engine that attached to a running host."""
        self._engine = request.engine_address
        return protocol.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> protocol.PluginInfo:
        """Return the version, which is that of the SDK whose messages the host speaks."""
        return protocol.PluginInfo(version=metadata.version("pulumi"))

    def GetRequiredPackages(
        self, request: protocol.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> protocol.GetRequiredPackagesResponse:
        """Return the plugins the program needs, and start the child that will run it."""
        python = _interpreter(request.info, context)
        names = packages.imported(_program(request.info))
        self._prepared = self._prepared or children.Program(python.executable, _slow_imports(names))
        return protocol.GetRequiredPackagesResponse(packages=map(_dependency, packages.plugins(python, names)))

    def GetRequiredPlugins(
        self, request: protocol.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> protocol.GetRequiredPluginsResponse:
        """Return the plugins the program needs, for an engine that does not know packages."""
        python = _interpreter(request.info, context)
        needed = packages.plugins(python, packages.imported(_program(request.info)))
        return protocol.GetRequiredPluginsResponse(
            plugins=[
                protocol.PluginDependency(name=it.name, kind="resource", version=it.version, server=it.server)
                for it in needed
            ]
        )

    def InstallDependencies(
        self, request: protocol.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[protocol.InstallDependenciesResponse]:
        """Install the project's `requirements.txt` into its Python, if it has one; ours come from the lock file instead."""
        directory = Path(request.info.program_directory or request.directory)
        requirements = directory / "requirements.txt"
        if not requirements.exists():
            return
        python = _interpreter(request.info, context)
        command = [python.executable, "-m", "pip", "install", "--disable-pip-version-check", "-r", requirements]
        child = children.Child(command, cwd=directory, captured=True)
        context.add_callback(child.stop)
        for stream, chunk in child.output():
            yield protocol.InstallDependenciesResponse(**{stream: chunk})
        if code := child.wait():
            context.abort(grpc.StatusCode.UNKNOWN, f"pip install -r {requirements}: exit code {code}")

    def RuntimeOptionsPrompts(
        self, request: protocol.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> protocol.RuntimeOptionsResponse:
        """Return no question to ask when a project is created: every option has a default."""
        return protocol.RuntimeOptionsResponse()

    def About(self, request: protocol.AboutRequest, context: grpc.ServicerContext) -> protocol.AboutResponse:
        """Return the Python that would run the program."""
        python = _interpreter(request.info, context)
        return protocol.AboutResponse(executable=str(python.executable), version=platform.python_version())

    def GetProgramDependencies(
        self, request: protocol.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> protocol.GetProgramDependenciesResponse:
        """Return what is installed for the program; only what nothing else requires, unless everything is asked for."""
        installed = list(_interpreter(request.info, context).distributions())
        hidden = set[str]()
        if not request.transitiveDependencies:
            hidden = {name for distribution in installed for name in interpreter.required_by(distribution)}
        return protocol.GetProgramDependenciesResponse(
            dependencies=[
                protocol.DependencyInfo(name=it.metadata["Name"], version=it.version)
                for it in sorted(installed, key=lambda it: it.metadata["Name"].lower())
                if interpreter.normalized(it.metadata["Name"]) not in hidden
            ]
        )

    def Run(self, request: protocol.RunRequest, context: grpc.ServicerContext) -> protocol.RunResponse:
        """Run the program to its end."""
        python = _interpreter(request.info, context)
        child, self._prepared = self._prepared, None
        if child is None or child.executable != python.executable:
            child = children.Program(python.executable, [])
        context.add_callback(child.stop)
        code = child.run(
            {
                "program": str(_program(request.info)),
                "arguments": list(request.args),
                "directory": request.pwd,
                "root": request.info.root_directory,
                "monitor": request.monitor_address,
                "engine": self._engine,
                "organization": request.organization,
                "project": request.project,
                "stack": request.stack,
                "parallel": request.parallel,
                "dry_run": request.dryRun,
                "config": dict(request.config),
                "secret_keys": list(request.configSecretKeys),
            }
        )
        if code == 0:
            return protocol.RunResponse()
        if code == _MESSAGE_SHOWN or child.stopped:
            return protocol.RunResponse(bail=True)
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        return protocol.RunResponse(error=f"the program {how}")

    def RunPlugin(
        self, request: protocol.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[protocol.RunPluginResponse]:
        """Run a policy pack, or a provider written in Python, and pass on what it writes."""
        python = _interpreter(request.info, context)
        program = _program(request.info)
        cwd, env = Path(request.pwd), dict(entry.split("=", 1) for entry in request.env)
        if request.kind == "analyzer":
            child = children.policy_pack(python.executable, program, cwd=cwd, env=env)
        else:
            child = children.Child([python.executable, "-u", program, *request.args], cwd=cwd, env=env, captured=True)
        context.add_callback(child.stop)
        for stream, chunk in child.output():
            yield (
                protocol.RunPluginResponse(stdout=chunk)
                if stream == "stdout"
                else protocol.RunPluginResponse(stderr=chunk)
            )
        yield protocol.RunPluginResponse(exitcode=child.wait())

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        """End whatever is running: the engine has been told to stop."""
        children.stop_all()
        return Empty()


def _slow_imports(names: set[str]) -> list[str]:
    """Return the modules worth importing early: the SDK's take a second, and importing them does nothing else."""
    return sorted(name for name in names if name.startswith("pulumi"))


def _program(info: protocol.ProgramInfo) -> Path:
    return Path(info.program_directory, info.entry_point)


def _interpreter(info: protocol.ProgramInfo, context: grpc.ServicerContext) -> interpreter.Interpreter:
    try:
        return interpreter.for_project(Path(info.root_directory), str(dict(info.options).get("virtualenv") or ""))
    except FileNotFoundError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise


def _dependency(plugin: packages.Plugin) -> protocol.PackageDependency:
    dependency = protocol.PackageDependency(
        name=plugin.name, kind="resource", version=plugin.version, server=plugin.server
    )
    if described := plugin.parameterization:
        dependency.parameterization.CopyFrom(
            protocol.PackageParameterization(
                name=described["name"], version=described["version"], value=base64.b64decode(described["value"])
            )
        )
    return dependency
