"""Engines for the suite: the real CLI and plugins, with a state directory of the suite's own."""

import os
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.engine import Cluster, Engine
from tests.conftest import Tools
from tests.engine.control_plane import CONTEXT, control_plane

ROOT = Path(__file__).parents[2]
MakeEngine = Callable[..., Engine]


@pytest.fixture(scope="package")
def state(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """Keep the engine's state away from the user's, and the user's settings of the engine away from the suite."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("PULUMI_", "KUBE")) and name != "PULUMI_ERROR_OUTPUT_STRING":
                patch.delenv(name)
        base = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(base))
        yield base / "platform"


@pytest.fixture(scope="package")
def make_engine(tools: Tools, state: Path) -> MakeEngine:
    """Make an engine for a stack of a program; without a cluster unless one is given."""
    assert state.parent.exists()

    def make(
        root: Path = ROOT, stack: str = "dev", cluster: Cluster | None = None, config: Mapping[str, Any] | None = None
    ) -> Engine:
        return Engine(tools.binaries, tools.venv, root, stack, cluster, config or {})

    return make


@pytest.fixture(scope="package")
def cluster(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """Run a cluster that stores objects and runs nothing."""
    with control_plane(tools.binaries, tmp_path_factory.mktemp("control-plane")) as kubeconfig:
        yield Cluster(kubeconfig, CONTEXT)


_TOY = """
import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes import apps, batch, core, meta
from pulumi_random import RandomPassword

config = pulumi.Config()
cluster = kubernetes.Provider("cluster", context=config.get("context"), cluster_identifier="toy")
there = pulumi.ResourceOptions(provider=cluster)
namespace = config.get("namespace") or "default"

password = RandomPassword("password", length=20)
given = config.get_secret("password") or password.result
secret = core.v1.Secret(
    "passwords",
    metadata=meta.v1.ObjectMetaArgs(namespace=namespace),
    string_data={"MADE": password.result},
    immutable=True,
    opts=there,
)
core.v1.Secret(
    "given",
    metadata=meta.v1.ObjectMetaArgs(name=f"given-{pulumi.get_project()}", namespace=namespace),
    string_data={"GIVEN": given},
    opts=there,
)
core.v1.ConfigMap(
    "words",
    metadata=meta.v1.ObjectMetaArgs(name=f"words-{pulumi.get_project()}", namespace=namespace),
    data={"word": config.get("word") or "hello", "secret": secret.metadata.name},
    opts=there,
)
keep = config.get_bool("keep")
if keep is not None:
    core.v1.ConfigMap(
        "kept",
        metadata=meta.v1.ObjectMetaArgs(name=f"kept-{pulumi.get_project()}", namespace=namespace),
        opts=pulumi.ResourceOptions(provider=cluster, protect=keep),
    )
labels = {"app": "slow"}
if config.get_bool("slow"):
    apps.v1.Deployment(
        "slow",
        metadata=meta.v1.ObjectMetaArgs(
            name=config.get("slow_name"),
            namespace=namespace,
            annotations={"pulumi.com/skipAwait": "true"} if config.get_bool("skip_await") else None,
        ),
        spec=apps.v1.DeploymentSpecArgs(
            selector=meta.v1.LabelSelectorArgs(match_labels=labels),
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels=labels),
                spec=core.v1.PodSpecArgs(containers=[core.v1.ContainerArgs(name="slow", image="none:1")]),
            ),
        ),
        opts=there,
    )
if config.get_bool("claims"):
    apps.v1.StatefulSet(
        "claims",
        metadata=meta.v1.ObjectMetaArgs(
            name=f"claims-{pulumi.get_project()}",
            namespace=namespace,
            annotations={
                # As every object of the platform has it.
                "pulumi.com/patchFieldManager": "platform",
                "pulumi.com/skipAwait": config.get("skip_await") or "false",
            },
        ),
        spec=apps.v1.StatefulSetSpecArgs(
            service_name="claims",
            selector=meta.v1.LabelSelectorArgs(match_labels=labels),
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels=labels),
                spec=core.v1.PodSpecArgs(containers=[core.v1.ContainerArgs(name="slow", image="none:1")]),
            ),
            volume_claim_templates=[
                core.v1.PersistentVolumeClaimArgs(
                    metadata=meta.v1.ObjectMetaArgs(name="data"),
                    spec=core.v1.PersistentVolumeClaimSpecArgs(
                        access_modes=["ReadWriteOnce"],
                        storage_class_name=config.get("storage_class"),
                        resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": "1Gi"}),
                    ),
                )
            ],
        ),
        opts=pulumi.ResourceOptions(provider=cluster, protect=keep),
    )
if config.get_bool("job"):
    batch.v1.Job(
        "once",
        # As every Job of the platform has it.
        metadata=meta.v1.ObjectMetaArgs(namespace=namespace, annotations={"pulumi.com/replaceUnready": "true"}),
        spec=batch.v1.JobSpecArgs(
            template=core.v1.PodTemplateSpecArgs(
                spec=core.v1.PodSpecArgs(
                    restart_policy="Never", containers=[core.v1.ContainerArgs(name="once", image="none:1")]
                )
            )
        ),
        opts=there,
    )
pulumi.export("secret", secret.metadata.name)
pulumi.export("password", given)
pulumi.export("made", password.result)
"""


@pytest.fixture
def toy(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Write a small program whose objects a cluster that runs nothing can hold, in a project of the test's own."""
    root = tmp_path / "toy"
    root.mkdir()
    name = request.node.name.partition("[")[0].replace("_", "-")
    (root / "Pulumi.yaml").write_text(f"name: {name}\nruntime: python\n")
    (root / "__main__.py").write_text(_TOY)
    configure(root)
    return root


def configure(root: Path, **config: str) -> None:
    """Write the stack file of stack `dev`."""
    project = (root / "Pulumi.yaml").read_text().split()[1]
    lines = [f'  {project}:{key}: "{value}"\n' for key, value in config.items()]
    (root / "Pulumi.dev.yaml").write_text(
        "".join(["config:\n", "  pulumi:disable-default-providers: [kubernetes]\n", *lines])
    )


@pytest.fixture
def engine(make_engine: MakeEngine, toy: Path, cluster: Cluster) -> Iterator[Engine]:
    """Give an engine for the toy, whose objects are gone when the test is over."""
    made = make_engine(toy, cluster=cluster)
    yield made
    configure(toy)
    made.destroy()


@pytest.fixture
def kubectl(tools: Tools, cluster: Cluster) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        command = [str(tools.binaries / "kubectl"), *arguments]
        return subprocess.run(
            command, env={**os.environ, **cluster.environment}, check=True, capture_output=True, text=True
        ).stdout

    return run
