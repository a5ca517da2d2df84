"""The database's servers on a cluster, through kubectl."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local.command import output
from local.problem import Problem

NAME = "postgres"
"""What the StatefulSet is called, and whatever belongs to it begins with."""

_NAMESPACE, _CONTAINER = "data", "postgres"


@dataclass(frozen=True)
class Cluster:
    """The cluster the database is in: kubectl with its options, and its environment."""

    kubectl: Sequence[str]
    environment: dict[str, str]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl prints about the database's namespace."""
        return output([*self.kubectl, f"--namespace={_NAMESPACE}", *arguments], env=self.environment, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        """Return an object, or a list of them; nothing if there is none: then kubectl prints not even an empty list."""
        return json.loads(self.run("get", *arguments, "--ignore-not-found", "--output=json") or "{}")

    def pods(self, *labels: str) -> list[str]:
        """Return the names of the servers' pods that have these labels as well."""
        selector = ",".join([f"app.kubernetes.io/name={NAME}", *labels])
        return [pod["metadata"]["name"] for pod in self.get("pods", f"--selector={selector}").get("items", [])]

    def inside(self, pod: str, *command: str) -> str:
        """Return what a command prints in a server's container."""
        return self.run("exec", pod, f"--container={_CONTAINER}", "--", *command)

    def log(self, pod: str, seconds: int) -> list[str]:
        """Return the last lines that a server's container has written within so many seconds; none if it has not started yet."""
        try:
            return self.run("logs", pod, f"--container={_CONTAINER}", "--tail=200", f"--since={seconds}s").splitlines()
        except Problem:
            return []

    def sql(self, pod: str, statement: str) -> str:
        """Return what a statement prints, run by the superuser of a server."""
        psql = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=postgres")
        return self.inside(pod, *psql, "--dbname=platform", f"--command={statement}").strip()
