"""The verbs: what can be done with one stack."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.engine import failures, recovery, stackfile
from local.engine.changes import Change, changes_in
from local.engine.cluster import Cluster
from local.engine.foreground import exit_code
from local.engine.home import Home, end_orphans, file_backend, home, state_directory
from local.problem import Problem

_MANIFESTS = Path(__file__).with_name("manifests.py")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Engine:
    """One stack of the program in `root`.

    Without a cluster, `preview` and `render` work offline and the rest is refused. `config` is added to the stack's
    settings for this machine, as in {"platform:images": {...}}. What the engine prints goes to this process's output.
    """

    binaries: Path
    venv: Path
    root: Path
    stack: str
    cluster: Cluster | None = None
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    say: Callable[[str], None] = _say

    def preview(
        self, *, policy_pack: Path | None = None, policy_config: Path | None = None, refresh: bool = False
    ) -> None:
        """Show what `up` would do; raise Problem if it is refused. With `refresh`, compare with the cluster, not the state."""
        where = self._prepared()
        arguments = [*_policies(policy_pack, policy_config), *(["--refresh"] if refresh and self.cluster else [])]
        self._call(where, "preview", *arguments)

    def changes(self) -> list[Change]:
        """Return what `up` would do, one entry for each resource that it would touch."""
        return changes_in(self._captured(self._prepared(), "preview", "--json"))

    def up(self, *, policy_pack: Path | None = None, policy_config: Path | None = None, refresh: bool = False) -> None:
        """Make the cluster what the program says, after putting right what an interrupted run left.

        Without `refresh`, what someone changed by hand is left alone until the program changes it too.
        """
        where = self._prepared(changing=True)
        self._recover(where)
        # Rules about a whole stack are judged before anything changes only in the preview.
        preview = _policies(policy_pack, policy_config) or ["--skip-preview"]
        try:
            self._call(where, "up", "--yes", *preview, *(["--refresh"] if refresh else []))
        except Problem as problem:
            raise Problem("\n".join([str(problem), *self._failed_jobs(where)])) from None

    def drift(self) -> list[Change]:
        """Return what in the cluster is no longer as the engine left it, changing nothing."""
        where = self._prepared(changing=True)
        return changes_in(self._captured(where, "refresh", "--preview-only", "--json"))

    def destroy(self) -> None:
        """Remove everything the stack made. A stack with something protected is refused whole, before anything changes."""
        where = self._prepared(changing=True)
        if kept := self._protected(where):
            raise Problem(
                f"stack {self.stack} keeps {', '.join(kept)}: nothing was removed. "
                f"If they are to go too, set keep: false for them in Pulumi.{self.stack}.yaml, run `up`, then this again"
            )
        self._recover(where)
        self._call(where, "destroy", "--yes", "--skip-preview")

    def forget(self) -> None:
        """Drop the state kept on this machine, for a stack whose cluster is gone with everything on it."""
        where = self._where(offline=True, rendering=False)
        if self._known(where):
            # Without the option this command deletes the stack's committed file too.
            arguments = ["stack", "rm", "--force", "--yes", "--preserve-config"]
            self._captured(where, *arguments, config_file=False, cwd=where.copy.parent)

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs; the secret ones as "[secret]". Empty before the first `up`."""
        where = self._prepared()
        return json.loads(self._captured(where, "stack", "output", "--json", config_file=False) or "{}")

    def render(self, directory: Path) -> int:
        """Write one YAML file per object to `directory`/NAMESPACE/KIND-NAME.yaml and return how many.

        No cluster is asked and no secret is written: each is `<secret>`. Two renders of one program are the same bytes.
        """
        where = self._prepared(offline=True)
        pulumi = [where.home.pulumi, *self._arguments(where, "preview", "--json", "--non-interactive")]
        command = [self.venv / "bin" / "python", _MANIFESTS, directory.resolve(), *pulumi]
        return int(self._finished(where, "render", command, self.root))

    def _prepared(self, *, changing: bool = False, offline: bool = False) -> "_Where":
        text = stackfile.committed(self.root, self.stack)
        if self.cluster is None and changing:
            raise Problem(f"stack {self.stack}: no cluster to work on; name one with CONTEXT=…")
        where = self._where(offline=offline or self.cluster is None, rendering=offline)
        if self.cluster is not None and not offline:
            self.cluster.check(self.binaries)
        added = dict(self.config)
        if self.cluster and self.cluster.context and not offline:
            added[f"{where.project}:context"] = self.cluster.context
        stackfile.derive(self.root, self.stack, where.copy.parent, added)
        self._create(where, stackfile.secrets_provider(text))
        return where

    def _where(self, *, offline: bool, rendering: bool) -> "_Where":
        engine = home(self.binaries, self.venv)
        environment, state = dict(engine.environment), state_directory()
        project = stackfile.project(self.root)
        if offline:
            # An empty kubeconfig, and none of a pod's own: the provider takes its inputs for its outputs.
            environment = {
                key: value for key, value in environment.items() if not key.startswith("KUBERNETES_SERVICE_")
            }
            environment["KUBECONFIG"] = os.devnull
        elif self.cluster:
            environment.update(self.cluster.environment)
        if rendering:
            # A state of its own, always empty: what is rendered is the whole stack, not the difference to what is up.
            (state / "render").mkdir(parents=True, exist_ok=True, mode=0o700)
            environment["PULUMI_BACKEND_URL"] = file_backend(state / "render")
        copies = state / "stacks" / ("render" if rendering else "real") / project
        return _Where(Home(engine.pulumi, environment), project, copies / f"Pulumi.{self.stack}.yaml")

    def _create(self, where: "_Where", provider: str) -> None:
        if self._known(where):
            return
        # In the directory of the copy: this command has no option for the stack file that it writes the salt to.
        arguments = ["stack", "select", "--create", "--stack", self.stack, "--secrets-provider", provider]
        self._captured(where, *arguments, config_file=False, cwd=where.copy.parent)

    def _protected(self, where: "_Where") -> list[str]:
        return [each["urn"].rpartition("::")[2] for each in self._resources(where) if each.get("protect")]

    def _failed_jobs(self, where: "_Where") -> list[str]:
        """Return what the Jobs said that did not succeed; the engine shows no more of them than that they failed."""
        if self.cluster is None:
            return []
        named = [each["outputs"]["metadata"] for each in self._resources(where) if failures.is_failed_job(each)]
        return [failures.told_by(self.cluster, self.binaries, job["namespace"], job["name"]) for job in named]

    def _resources(self, where: "_Where") -> list[dict[str, Any]]:
        exported: dict[str, Any] = json.loads(self._captured(where, "stack", "export", config_file=False))
        return exported["deployment"].get("resources") or []

    def _known(self, where: "_Where") -> bool:
        backend = where.home.backend
        return bool(backend and (backend / ".pulumi" / "stacks" / where.project / f"{self.stack}.json").exists())

    def _recover(self, where: "_Where") -> None:
        backend = where.home.backend
        if backend is None or self.cluster is None:
            return
        if lock := recovery.dead_lock(backend, where.project, self.stack):
            self.say(f"{lock}; unlocking it")
            end_orphans(where.home)
            self._captured(where, "cancel", "--yes", "--stack", self.stack, config_file=False)
        left = recovery.interrupted(backend, where.project, self.stack)
        if left is None:
            return
        names = ", ".join(sorted(urn.rpartition("::")[2] for urn in left.urns))
        self.say(f"the last run was interrupted while it worked on {names}; comparing with the cluster")
        for orphan in left.orphans:
            if self.cluster.remove(self.binaries, orphan.kind, orphan.name, orphan.namespace):
                self.say(f"removed {orphan.kind.partition('.')[0]} {orphan.name}, which it had just created")
        self._captured(where, "refresh", "--yes", "--skip-preview", "--clear-pending-creates")

    def _arguments(self, where: "_Where", *arguments: str) -> list[str]:
        return [*arguments, "--stack", self.stack, "--config-file", str(where.copy)]

    def _call(self, where: "_Where", *arguments: str) -> None:
        """Run a verb with our own output as its output. An interrupt reaches it too; wait until it has tidied up."""
        quiet = [] if sys.stdout.isatty() else ["--non-interactive"]
        with tempfile.TemporaryDirectory() as place:
            events = Path(place) / "events"
            command = [str(where.home.pulumi), *self._arguments(where, *arguments, *quiet), f"--event-log={events}"]
            code = exit_code(command, self.root, where.home.environment | {"PULUMI_DEBUG_COMMANDS": "true"}, self.say)
            refused = failures.refused_replacements(events) if code else []
        if code:
            failed = f"pulumi {arguments[0]} of stack {self.stack} failed; what is wrong is said above"
            raise Problem("\n".join([failed, *([failures.instead(refused)] if refused else [])]))

    def _captured(self, where: "_Where", *arguments: str, config_file: bool = True, cwd: Path | None = None) -> str:
        if config_file:
            arguments = tuple(self._arguments(where, *arguments))
        elif "--stack" not in arguments:
            arguments = (*arguments, "--stack", self.stack)
        command = [where.home.pulumi, *arguments, "--non-interactive"]
        return self._finished(where, f"pulumi {arguments[0]}", command, cwd or self.root)

    def _finished(self, where: "_Where", what: str, command: Sequence[str | Path], cwd: Path) -> str:
        """Return what a command prints; raise Problem with all that it said if it fails."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=where.home.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Problem(f"{what} of stack {self.stack} failed:\n{(done.stderr + done.stdout).strip()}")
        return done.stdout


@dataclass(frozen=True)
class _Where:
    """How to call the engine for one verb: the executable and environment, the project, and the copy of the stack's file."""

    home: Home
    project: str
    copy: Path


def _policies(pack: Path | None, config: Path | None) -> list[str]:
    if pack is None:
        return []
    return ["--policy-pack", str(pack), *(["--policy-pack-config", str(config)] if config else [])]
