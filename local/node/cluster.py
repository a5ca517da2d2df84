"""The cluster from outside, through kubectl with the node's own kubeconfig and nobody else's."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.command import output
from local.node.layout import KUBECONFIG, STATE
from local.problem import Problem

_APPLY = ("apply", "--server-side", "--force-conflicts", "--field-manager=platform-node", "--filename=-")


class Cluster:
    """kubectl against the node."""

    def __init__(self, binaries: Path) -> None:
        # Its cache stays in the node's folder: nothing is written to the user's home.
        self._command = (
            str(binaries / "kubectl"),
            f"--kubeconfig={KUBECONFIG}",
            f"--cache-dir={STATE / 'kubectl'}",
            "--request-timeout=20s",
        )

    def kubectl(self, *arguments: str) -> str:
        """Return what kubectl prints; raise a Problem with its error."""
        return output([*self._command, *arguments], env={"KUBECONFIG": str(KUBECONFIG)})

    def apply(self, objects: Sequence[Mapping[str, Any]], files: Sequence[Path] = ()) -> None:
        """Apply `objects` and `files` on the server's side, taking over fields that somebody else has changed."""
        done = subprocess.run(
            [*self._command, *_APPLY, *(f"--filename={file}" for file in files)],
            input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Problem(f"the node's add-ons cannot be applied: {done.stderr.strip()}")

    def get(self, *arguments: str) -> Any:
        """Return an object or a list as kubectl's JSON says it."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))
