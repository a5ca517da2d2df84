"""The engine's messages and services, imported without the SDK around them.

Importing `pulumi` takes 0.45 s and the host needs none of it: with bare packages put in place of the SDK's own, the generated
modules alone load in 0.1 s, and every command that starts the host is that much faster. It follows that nothing in the host
process may use the SDK itself; user code runs in children, which import it whole.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def _bare(*names: str) -> None:
    found = importlib.util.find_spec(names[0])
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{sys.executable}: the package `pulumi` is not installed")
    home = Path(found.submodule_search_locations[0])
    for name in names:
        package = ModuleType(name)
        package.__path__ = [str(home.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package


_bare("pulumi", "pulumi.runtime", "pulumi.runtime.proto")

from pulumi.runtime.proto.language_pb2 import (  # noqa: E402
    AboutRequest,
    AboutResponse,
    DependencyInfo,
    GetProgramDependenciesRequest,
    GetProgramDependenciesResponse,
    GetRequiredPackagesRequest,
    GetRequiredPackagesResponse,
    GetRequiredPluginsRequest,
    GetRequiredPluginsResponse,
    InstallDependenciesRequest,
    InstallDependenciesResponse,
    LanguageHandshakeRequest,
    LanguageHandshakeResponse,
    ProgramInfo,
    RunPluginRequest,
    RunPluginResponse,
    RunRequest,
    RunResponse,
    RuntimeOptionsRequest,
    RuntimeOptionsResponse,
)
from pulumi.runtime.proto.language_pb2_grpc import (  # noqa: E402
    LanguageRuntimeServicer,
    add_LanguageRuntimeServicer_to_server,
)
from pulumi.runtime.proto.plugin_pb2 import (  # noqa: E402
    PackageDependency,
    PackageParameterization,
    PluginDependency,
    PluginInfo,
)

__all__ = [
    "AboutRequest",
    "AboutResponse",
    "DependencyInfo",
    "GetProgramDependenciesRequest",
    "GetProgramDependenciesResponse",
    "GetRequiredPackagesRequest",
    "GetRequiredPackagesResponse",
    "GetRequiredPluginsRequest",
    "GetRequiredPluginsResponse",
    "InstallDependenciesRequest",
    "InstallDependenciesResponse",
    "LanguageHandshakeRequest",
    "LanguageHandshakeResponse",
    "LanguageRuntimeServicer",
    "PackageDependency",
    "PackageParameterization",
    "PluginDependency",
    "PluginInfo",
    "ProgramInfo",
    "RunPluginRequest",
    "RunPluginResponse",
    "RunRequest",
    "RunResponse",
    "RuntimeOptionsRequest",
    "RuntimeOptionsResponse",
    "add_LanguageRuntimeServicer_to_server",
]
