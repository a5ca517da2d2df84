"""The Go tools: the engine, its plugins and Kubernetes, built from pinned modules into the cache."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import cache
from local.command import output, run
from local.problem import Problem

SOURCES = Path(__file__).parent
PULUMI = "3.256.0"
KUBERNETES = "1.34.2"
PLUGINS = {"kubernetes": "4.25.0", "random": "4.21.4"}
"""Provider plugins, each at the version of the Python package whose calls it answers."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Module:
    """One Go module of ours: what it builds, with which flags, and what must stand beside the results."""

    name: str
    packages: Sequence[str] = ("tool",)
    variables: Sequence[str] = ()
    finish: Callable[[Path], None] | None = None


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
    """Take the snapshot CRDs from the released module, so that no copy of them is kept here."""
    source = module_directory("kubernetes", "github.com/kubernetes-csi/external-snapshotter/client/v8")
    crds = directory / "crds"
    crds.mkdir()
    for file in sorted((source / "config" / "crd").glob("snapshot.storage.k8s.io_*.yaml")):
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

MODULES = (KUBERNETES_TOOLS, *ENGINE)
"""As few as their pins allow: the kubernetes plugin compiles only against an older engine than the one that calls it."""


def build(say: Say, modules: Sequence[Module] = MODULES) -> Path:
    """Return one directory with every tool, building what the cache lacks.

    It holds the executables, `plugins/` with each provider plugin and its data files, and `crds/`. Raises Problem
    if Go is missing or a build fails, with the end of its log.
    """
    if modules and not shutil.which("go"):
        raise Problem("go: not on PATH; install Go 1.25 or later")
    version = output(["go", "env", "GOVERSION"]) if modules else ""
    keys = [_key(module, version) for module in modules]
    entries: list[Path] = []
    for module, key in zip(modules, keys, strict=True):
        if not cache.has("tools", module.name, key):
            say(f"module {len(entries) + 1} of {len(modules)}: {module.name}")
        entries.append(_build(module, key))
    return _together(entries)


def module_directory(module: str, path: str) -> Path:
    """Return where Go keeps the source of the dependency `path` of one of our modules."""
    found = json.loads(
        output(["go", "-C", SOURCES / module, "list", "-mod=readonly", "-m", "-json", path], timeout=600)
    )
    return Path(found["Dir"])


def _key(module: Module, version: str) -> str:
    return cache.key(version, *module.packages, *module.variables, SOURCES / module.name)


def _build(module: Module, key: str) -> Path:
    def fill(directory: Path) -> None:
        flags = " ".join(["-s", "-w", *(f"-X {variable}" for variable in module.variables)])
        run(
            [
                "go",
                "-C",
                SOURCES / module.name,
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
