"""What a person can ask for: `up`, `down`, `preview`, `render`, `policy`, `status`, `url`, `logs`."""

import os
import shutil
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import database, images, node, restoring, toolchain
from local.command import output
from local.engine import Cluster, Engine, users_own
from local.packages import TESTED_SERVERS, install_debian_packages, virtual_environment
from local.policy import judge
from local.problem import Problem
from local.steps import Steps

ROOT = Path(__file__).parents[1]
POLICIES = ROOT / "policies"
_ANSWER_SECONDS = 120.0


@dataclass(frozen=True)
class Target:
    """A stack, and the user's own cluster to put it on; without one, the node on this machine."""

    stack: str
    context: str | None

    @property
    def cluster(self) -> Cluster:
        """The cluster that is meant."""
        if self.context:
            return Cluster(context=self.context)
        return Cluster(kubeconfig=node.kubeconfig, context=node.context)


def up(target: Target) -> None:
    """Bring the platform up, and return when it answers."""
    _settings_file(target.stack)
    steps = Steps(3 if target.context else 7)
    if target.context:
        target.cluster.check()  # before anything is built for it
        platform = steps.run("engine", lambda say: engine(target, say=say))
        steps.run("custom resources", lambda _say: target.cluster.define(toolchain.definitions() / "crds"))
    else:
        platform = _on_this_machine(target, steps)
    steps.run("platform: pulumi up", lambda _say: platform.up(policy_pack=POLICIES))
    url = _url(target, platform)
    if url.startswith("http://"):  # with nothing in front of it; an edge answers under its own name, once DNS does
        _await_answer(f"{url}/readyz")
    print(f"The {target.stack} stack is up after {steps.seconds:.0f} s: {url}")
    kubectl = "kubectl" if shutil.which("kubectl") else _kubectl(target)
    print(
        f"Look around:  make status STACK={target.stack}   {kubectl} {_kubectl_options(target)} get pods --all-namespaces"
    )


def down(target: Target) -> None:
    """Remove the stack, and the node on this machine with it."""
    _settings_file(target.stack)
    made = engine(target)
    if target.context or not node.status(lambda _line: None):
        made.destroy()
    if not target.context:
        node.down(print)
        made.forget()


def preview(target: Target) -> None:
    """Show what `up` would change; without any cluster, everything the stack would create."""
    there = target.context or node.kubeconfig.exists()
    engine(target, offline=not there).preview(policy_pack=POLICIES)


def render(target: Target) -> None:
    """Write the stack's Kubernetes objects as YAML, one file each, under build/STACK."""
    directory = ROOT / "build" / target.stack
    count = engine(target, offline=True).render(directory)
    print(f"{count} objects in {directory.relative_to(ROOT)}")


def policy(target: Target) -> int:
    """Judge what the stack renders by the policy pack, without a cluster; exit code 1 for a breach, 2 if it cannot be."""
    return judge(lambda: engine(target, offline=True))


def status(target: Target) -> int:
    """Show how the node and the stack's pods are; exit code 1 if something is wrong."""
    _settings_file(target.stack)
    problems = [] if target.context else node.status()
    if not problems:
        kubectl = [_kubectl(target), *_kubectl_options(target).split()]
        print(output([*kubectl, "get", "pods", "--all-namespaces"], env=target.cluster.environment))
    return 1 if problems else 0


def url(target: Target) -> None:
    """Print the frontend's base URL, and nothing else."""
    _settings_file(target.stack)
    if not target.context and not node.kubeconfig.exists():
        raise _not_up(target)
    print(_url(target, engine(target)))


def restore(target: Target, to: str) -> None:
    """Bring the database back to a moment, in place, and back it up as it is then."""
    _settings_file(target.stack)
    if target.context:
        target.cluster.check()
    kubectl = [_kubectl(target), *_kubectl_options(target).split()]
    restoring.restore(database.Cluster(kubectl, dict(target.cluster.environment)), to)


def logs(component: str) -> None:
    """Print the log of one of the node's processes."""
    node.logs(component)


def packages() -> None:
    """Install the Debian packages of the node, the images and the tests."""
    install_debian_packages([*node.debian_packages, *images.debian_packages, *TESTED_SERVERS], print)


def run(command: Sequence[str]) -> int:
    """Run a command in the Python environment of the program, with the tools on PATH."""
    python = virtual_environment()
    path = os.pathsep.join([str(python / "bin"), os.environ["PATH"]])
    if not command or not shutil.which(command[0], path=path):
        raise Problem(f"run: {command[0] if command else 'nothing'}: no such command; as in `run pytest tests/unit`")
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(python)}
    os.execvpe(command[0], list(command), environment)  # noqa: S606 - so that signals and the exit code are its own


def engine(target: Target, *, offline: bool = False, say: Callable[[str], None] = lambda _text: None) -> Engine:
    """Return the engine for a stack, building it if need be; on this machine's node it runs the images built here."""
    _settings_file(target.stack)
    known = {} if offline else _known_here(target)
    here = not target.context and not offline
    return Engine(
        binaries=_binaries(say, node=here),
        venv=virtual_environment(),
        root=ROOT,
        stack=target.stack,
        cluster=None if offline else target.cluster,
        config=known,
    )


STACK_VERBS: dict[str, Callable[[Target], int | None]] = {
    "up": up,
    "down": down,
    "preview": preview,
    "render": render,
    "policy": policy,
    "status": status,
    "url": url,
}


def _on_this_machine(target: Target, steps: Steps) -> Engine:
    if os.geteuid() != 0:
        raise Problem("the one-node Kubernetes needs root: run `sudo make up`, or name your own cluster with CONTEXT=…")
    node.check()
    needed = [*node.debian_packages, *images.debian_packages]
    steps.run("Debian packages", lambda say: install_debian_packages(needed, say))
    python = steps.start("Python environment", lambda _say: virtual_environment())
    of_tools = [name for name in images.NAMES if images.of_tools(name)]
    others = [name for name in images.NAMES if name not in of_tools]
    early = steps.start("images of the platform", lambda say: images.build(Path(), say, others))
    binaries = steps.run("tools", lambda say: _binaries(say, node=True))
    late = steps.run("images of the node", lambda say: images.build(binaries, say, of_tools))
    built = [*early.result(), *late]
    python.result()
    fresh = not node.kubeconfig.exists()
    steps.run("node", lambda say: node.up(binaries, built, say))
    made = engine(target)
    if fresh:
        made.forget()  # what the state tells of was on a node that is no more
    return made


def _known_here(target: Target) -> dict[str, Any]:
    """Return the settings that depend on this machine or on the cluster, and on nothing a person decides."""
    if not target.context:
        return {"platform:images": images.references()}
    target.cluster.check()
    return {"platform:api_server": target.cluster.api_server(), "platform:storage": target.cluster.storage()}


def _binaries(say: Callable[[str], None], *, node: bool) -> Path:
    """Return the directory of the tools: the engine's unless the user has a `pulumi`, and the node's if it is meant."""
    engine = () if users_own() else toolchain.ENGINE
    return toolchain.build(say, [*(toolchain.NODE if node else []), *engine])


def _settings_file(stack: str) -> None:
    if not (ROOT / f"Pulumi.{stack}.yaml").exists():
        known = sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml"))
        raise Problem(f"Pulumi.{stack}.yaml: there is no such file; the stacks there are: {', '.join(known)}")


def _url(target: Target, engine: Engine) -> str:
    """Return where the frontend answers: on another cluster, a node's own address stands for this machine's."""
    printed: str | None = engine.outputs().get("url")
    if printed is None:
        raise _not_up(target)
    if target.context and "://127.0.0.1:" in printed:
        address = 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'
        command = [_kubectl(target), *_kubectl_options(target).split(), "get", "nodes", "--output", address]
        return printed.replace("127.0.0.1", output(command, env=target.cluster.environment))
    return printed


def _not_up(target: Target) -> Problem:
    return Problem(f"stack {target.stack} is not up; `make up STACK={target.stack}` brings it up")


def _await_answer(address: str) -> None:
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - the frontend's own address
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise Problem(f"{address} does not answer after {_ANSWER_SECONDS:.0f} s: {error}") from None
            time.sleep(0.5)


def _kubectl(target: Target) -> str:
    """Return the kubectl of the cluster's version: the user's own for a cluster of theirs."""
    if not target.context:
        return str(_binaries(lambda _text: None, node=True) / "kubectl")
    if found := shutil.which("kubectl"):
        return found
    raise Problem("kubectl: not on PATH; install the one of your cluster's version")


def _kubectl_options(target: Target) -> str:
    if target.context:
        return f"--context {target.context}"
    return f"--kubeconfig {node.kubeconfig} --context {node.context}"
