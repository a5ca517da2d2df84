"""The Go tools: the engine, its plugins and Kubernetes, built from pinned modules into the cache."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import cache
from local.command import output, run
from local.problem import Problem

SOURCES = Path(__file__).parent
PULUMI = "3.256.0"
KUBERNETES = "1.34.2"
_CERT_MANAGER = ("cert-manager", "github.com/cert-manager/cert-manager")
PLUGINS = {"kubernetes": "4.25.0", "random": "4.21.4"}
"""Provider plugins, each at the version of the Python package whose calls it answers."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Module:
    """One Go module of ours: what it builds, with which flags, and what must stand beside the results.

    `source` is where it is, if it is not among these.
    """

    name: str
    packages: Sequence[str] = ("tool",)
    variables: Sequence[str] = ()
    finish: Callable[[Path], None] | None = None
    source: Path | None = None

    @property
    def directory(self) -> Path:
        """Where its go.mod is."""
        return self.source or SOURCES / self.name


def _log(name: str) -> Path:
    return cache.ROOT / "logs" / f"{name}.log"


def _plugin(directory: Path, name: str) -> Path:
    """Move a provider plugin into the folder of its own that the engine's plugin cache has for it."""
    plugin = directory / "plugins" / f"resource-{name}-v{PLUGINS[name]}"
    plugin.mkdir(parents=True)
    executable = f"pulumi-resource-{name}"
    (directory / executable).rename(plugin / executable)
    return plugin


def _finish_engine(directory: Path) -> None:
    """Put the random plugin in a folder of its own with the schema it generates."""
    plugin = _plugin(directory, "random")
    run([plugin / "pulumi-resource-random", "generate", plugin], log=_log("engine"))


def _finish_kubernetes_plugin(directory: Path) -> None:
    """Put the kubernetes plugin in a folder of its own with the data files of its module."""
    plugin = _plugin(directory, "kubernetes")
    source = module_directory("kubernetes-plugin", "github.com/pulumi/pulumi-kubernetes/provider/v4")
    for name in ("schema.json", "terraform-mapping.json"):
        shutil.copyfile(source / "cmd" / "pulumi-resource-kubernetes" / name, plugin / name)


def _finish_kubernetes(directory: Path) -> None:
    """Add the definitions of volume snapshots."""
    source = module_directory("kubernetes", "github.com/kubernetes-csi/external-snapshotter/client/v8")
    _copy_definitions((source / "config" / "crd").glob("snapshot.storage.k8s.io_*.yaml"), directory)


def _finish_cert_manager(directory: Path) -> None:
    """Add the definitions of certificates and issuers.

    Challenges are among them although nothing here asks an ACME server: upstream's controller, which runs under the same name
    in a cluster with a registry, counts them whatever it is told to do, and would complain for ever.
    """
    source = module_directory(*_CERT_MANAGER) / "deploy" / "crds"
    _copy_definitions([*source.glob("cert-manager.io_*.yaml"), *source.glob("*_challenges.yaml")], directory)


def _copy_definitions(files: Iterable[Path], directory: Path) -> None:
    """Take custom resource definitions from a released module, so that no copy of them is kept here."""
    crds = directory / "crds"
    crds.mkdir()
    for file in files:
        shutil.copyfile(file, crds / file.name)


_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_KUBERNETES_VERSION = "k8s.io/component-base/version"

KUBERNETES_TOOLS = Module(
    "kubernetes",
    packages=("tool", "./csi-hostpath", "./metrics-server"),
    variables=(
        f"{_KUBERNETES_VERSION}.gitVersion=v{KUBERNETES}",
        f"{_KUBERNETES_VERSION}.gitMajor={_MAJOR}",
        f"{_KUBERNETES_VERSION}.gitMinor={_MINOR}",
    ),
    finish=_finish_kubernetes,
)
"""What the node runs, and kubectl."""

CERT_MANAGER = Module(_CERT_MANAGER[0], packages=("./cert-manager-controller",), finish=_finish_cert_manager)
"""What the platform runs in a cluster that gets no images from a registry; the node's own images are built with it."""


VERSITYGW = Module("versitygw")
"""The object store's gateway, which an image for the node carries."""

ALERTMANAGER = Module("alertmanager")
"""amtool, which tells the tests where an alert goes."""

NODE = (KUBERNETES_TOOLS, CERT_MANAGER, VERSITYGW)
"""What is needed for the node on this machine."""

ENGINE = (
    Module(
        "engine",
        packages=("tool", "./pulumi-resource-random"),
        variables=(
            f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}",
            f"main.version={PLUGINS['random']}",
        ),
        finish=_finish_engine,
    ),
    Module(
        "kubernetes-plugin",
        packages=("./pulumi-resource-kubernetes",),
        variables=(f"main.version={PLUGINS['kubernetes']}",),
        finish=_finish_kubernetes_plugin,
    ),
)
"""What is needed to work on a cluster that is already there."""

MODULES = (*NODE, *ENGINE)
"""As few as their pins allow: the kubernetes plugin compiles only against an older engine than the one that calls it, and
cert-manager against newer Kubernetes libraries than the node's."""


def build(say: Say, modules: Sequence[Module] = MODULES) -> Path:
    """Return one directory with every tool, building what the cache lacks.

    It holds the executables, `plugins/` with each provider plugin and its data files, and `crds/`. Raises Problem
    if Go is missing or a build fails, with the end of its log.
    """
    if modules:
        _need_go()
    version = output(["go", "env", "GOVERSION"]) if modules else ""
    keys = [_key(module, version) for module in modules]
    entries: list[Path] = []
    for module, key in zip(modules, keys, strict=True):
        if not cache.has("tools", module.name, key):
            say(f"module {len(entries) + 1} of {len(modules)}: {module.name}")
        entries.append(_build(module, key))
    return _together(entries)


def definitions() -> Path:
    """Return a directory whose `crds/` defines the custom resources of the program; one download, and nothing is compiled.

    Raises Problem if Go is missing.
    """
    _need_go()
    source = SOURCES / CERT_MANAGER.name
    key = cache.key(source / "go.mod", source / "go.sum", Path(__file__))
    return cache.entry("tools", "definitions", key, _finish_cert_manager)


def module_directory(module: str, path: str) -> Path:
    """Return where Go keeps the source of the dependency `path` of one of our modules, downloading it if need be."""
    found = json.loads(output(["go", "-C", SOURCES / module, "mod", "download", "-json", path], timeout=600))
    return Path(found["Dir"])


def _need_go() -> None:
    if not shutil.which("go"):
        raise Problem("go: not on PATH; install Go 1.26 or later")


def _key(module: Module, version: str) -> str:
    return cache.key(version, *module.packages, *module.variables, module.directory)


def _build(module: Module, key: str) -> Path:
    def fill(directory: Path) -> None:
        flags = " ".join(["-s", "-w", *(f"-X {variable}" for variable in module.variables)])
        run(
            [
                "go",
                "-C",
                module.directory,
                "build",
                "-trimpath",
                f"-ldflags={flags}",
                f"-o={directory}/",
                *module.packages,
            ],
            # With cgo, the binaries that go into images would need this machine's C library.
            env={"CGO_ENABLED": "0"},
            log=_log(module.name),
        )
        if module.finish:
            module.finish(directory)

    return cache.entry("tools", module.name, key, fill)


def _together(entries: Sequence[Path]) -> Path:
    """Return a directory that links to the content of every entry."""

    def link(directory: Path) -> None:
        for entry in entries:
            shutil.copytree(
                entry, directory, copy_function=os.link, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".seal.json")
            )

    return cache.entry("tools", "all", cache.key(*(entry.name for entry in entries)), link)
