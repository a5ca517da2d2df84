"""Why a preview or an `up` failed, where the engine's own words do not say it, or not what to do."""

import json
import re
from pathlib import Path
from typing import Any

from local.engine.cluster import Cluster
from local.problem import Problem

_REFUSED = re.compile(r'unable to replace resource "[^"]*::([^":]+)"')


def is_failed_job(resource: dict[str, Any]) -> bool:
    """Tell whether a resource of the state is a Job that was made and did not succeed."""
    return resource["type"] == "kubernetes:batch/v1:Job" and bool(resource.get("initErrors"))


def told_by(cluster: Cluster, binaries: Path, namespace: str, job: str) -> str:
    """Return what a failed Job said last, and what follows from its failure."""
    try:
        said = cluster.last_lines(binaries, f"job/{job}", namespace)
    except Problem as problem:
        said = f"its log cannot be had: {problem}"
    lines = "\n".join(f"    {line}" for line in said.splitlines())
    return (
        f"job {job} of namespace {namespace} did not succeed; what it said last:\n{lines}\n"
        "What waits for it was not touched, and goes on in the version that was there. When the cause is gone, run `up` again"
    )


def refused_replacements(events: Path) -> list[str]:
    """Return the names of what is kept and would have been replaced, as the engine's log of events tells."""
    if not events.exists():
        return []  # it has failed before it had anything to say
    told = [json.loads(line).get("diagnosticEvent", {}).get("message", "") for line in events.read_text().splitlines()]
    return sorted({found[1] for message in told for found in _REFUSED.finditer(message)})


def instead(kept: list[str]) -> str:
    """Return what to do where a replacement was refused."""
    return (
        f"{', '.join(kept)}: kept (keep: true), and this change would make it anew, without its data; it was not touched. "
        "Put the setting back as it was. A volume grows with its size; how data moves to another storage_class is in "
        "docs/troubleshooting.md"
    )
