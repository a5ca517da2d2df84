"""What may be lost of what a tier keeps, and what brings it back: said on the objects, where the policy pack holds one against the other."""

from collections.abc import Mapping
from typing import Literal

Role = Literal["backup", "snapshot", "drill", "restore"]
"""What a CronJob does: copy out of the cluster's volumes, copy within them, try to restore, or restore when a person asks for it."""


def keeps(recovery_point: str) -> Mapping[str, str]:
    """Return the annotation of data of which no more than that time may be lost."""
    return {"platform/recovery-point": recovery_point}


def needs_no_backup(reason: str) -> Mapping[str, str]:
    """Return the annotation of data that nothing backs up, and why."""
    return {"platform/backup-not-needed": reason}


def recovers(workload: str, role: Role) -> Mapping[str, str]:
    """Return the annotations of a CronJob that is about a workload's data."""
    return {"platform/recovers": workload, "platform/recovery": role}
