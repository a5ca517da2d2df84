"""Which Kubernetes is meant, and whether it answers."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.command import output
from local.problem import Problem

_ANSWER_SECONDS = 5
_REMOVED_SECONDS = 120
_DEFINED_SECONDS = 30
_LAST_LINES = 15


@dataclass(frozen=True)
class Cluster:
    """A context of a kubeconfig. Without a file, that of $KUBECONFIG or ~/.kube/config; without a context, its current one."""

    kubeconfig: Path | None = None
    context: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to find the kubeconfig."""
        return {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {}

    def check(self, binaries: Path | None = None) -> None:
        """Raise Problem, within seconds, unless the API server says that it is ready."""
        kubectl = self._kubectl(binaries)
        try:
            output(
                [*kubectl, "get", "--raw", "/readyz", f"--request-timeout={_ANSWER_SECONDS}s"],
                env=self.environment,
                timeout=2 * _ANSWER_SECONDS,
            )
        except Problem as problem:
            reason = str(problem).rpartition(": ")[2] or str(problem)
            raise Problem(
                f"the cluster ({self}) does not answer: {reason.strip()}\n"
                "Nothing was changed. Start the cluster, or name another one with CONTEXT=…; "
                f"the contexts there are: {self._contexts(binaries)}"
            ) from None

    def api_server(self) -> dict[str, Any]:
        """Return where the API server itself answers, behind its Service: `addresses` and the `port` they share."""
        command = [*self._kubectl(None), "get", "endpoints", "kubernetes", "--namespace=default", "--output=json"]
        subset = json.loads(output(command, env=self.environment, timeout=2 * _ANSWER_SECONDS))["subsets"][0]
        return {"addresses": [each["ip"] for each in subset["addresses"]], "port": subset["ports"][0]["port"]}

    def storage(self) -> dict[str, Any]:
        """Return the `provisioner` and its `parameters` that volumes come from by default, and whether there are `snapshots`."""
        ask, wait = self._kubectl(None), 2 * _ANSWER_SECONDS
        listed = json.loads(
            output([*ask, "get", "storageclasses", "--output=json"], env=self.environment, timeout=wait)
        )
        default = "storageclass.kubernetes.io/is-default-class"
        classes = [each for each in listed["items"] if each["metadata"].get("annotations", {}).get(default) == "true"]
        # Of several the API server takes the newest.
        classes.sort(key=lambda each: each["metadata"]["creationTimestamp"])
        found = {key: classes[-1].get(key, {}) for key in ("provisioner", "parameters")} if classes else {}
        group = [*ask, "api-resources", "--api-group=snapshot.storage.k8s.io", "--output=name"]
        return found | {"snapshots": "volumesnapshots." in output(group, env=self.environment, timeout=wait)}

    def define(self, definitions: Path, binaries: Path | None = None) -> None:
        """Make the cluster know the custom resources defined in a directory; what someone else defined otherwise is a Problem."""
        kubectl, files = self._kubectl(binaries), f"--filename={definitions}"
        # Whoever has other versions of them runs other versions of what they are for, and is not to be broken.
        apply = [*kubectl, "apply", "--server-side", "--field-manager=platform", files]
        output(apply, env=self.environment, timeout=_DEFINED_SECONDS)
        wait = [*kubectl, "wait", "--for=condition=Established", f"--timeout={_DEFINED_SECONDS}s", files]
        output(wait, env=self.environment, timeout=2 * _DEFINED_SECONDS)

    def remove(self, binaries: Path, kind: str, name: str, namespace: str) -> bool:
        """Remove an object and tell whether it was there; `kind` is like Deployment.v1.apps."""
        where = ["--namespace", namespace] if namespace else []
        command = [*self._kubectl(binaries), "delete", kind, name, *where, "--ignore-not-found", "--output=name"]
        return bool(output(command, env=self.environment, timeout=_REMOVED_SECONDS))

    def last_lines(self, binaries: Path, of: str, namespace: str) -> str:
        """Return the end of a log."""
        command = [*self._kubectl(binaries), "logs", of, "--namespace", namespace, f"--tail={_LAST_LINES}"]
        return output(command, env=self.environment, timeout=2 * _ANSWER_SECONDS)

    def __str__(self) -> str:
        file = self.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        return f"context {self.context or 'current'} of {file}"

    def _kubectl(self, binaries: Path | None) -> list[str]:
        built = binaries and shutil.which("kubectl", path=str(binaries))
        executable = built or shutil.which("kubectl")
        if not executable:
            raise Problem("kubectl: not on PATH; install the one of your cluster's version")
        return [executable, *([f"--context={self.context}"] if self.context else [])]

    def _contexts(self, binaries: Path | None) -> str:
        command = [self._kubectl(binaries)[0], "config", "get-contexts", "--output=name"]
        try:
            return ", ".join(output(command, env=self.environment, timeout=_ANSWER_SECONDS).split()) or "none"
        except Problem:
            return "unknown, the kubeconfig cannot be read"
