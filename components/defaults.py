"""What every pod gets unless a workload says why not: security, health, spread, resources, shutdown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pulumi_kubernetes import core

from components.labels import Identity

USER = 10001
"""The uid and gid of the images we build; those that keep an upstream's uid say so where they are used."""

CONTAINER_SECURITY = core.v1.SecurityContextArgs(
    allow_privilege_escalation=False,
    read_only_root_filesystem=True,
    capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
)
TEMPORARY = "/tmp"  # noqa: S108 - of the pod, not of this machine: the only writable place but data volumes: the root file system is read-only


def pod_security(user: int) -> core.v1.PodSecurityContextArgs:
    """Return the pod security context of the *restricted* Pod Security Standard, for a fixed uid."""
    return core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        fs_group=user,
        # Without this the kubelet walks the whole volume at each start, minutes on a large database.
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def resources(cpu: str, memory: str) -> core.v1.ResourceRequirementsArgs:
    """Return requests and limits. CPU is not limited: throttling a pod that has idle neighbours only adds latency."""
    return core.v1.ResourceRequirementsArgs(
        requests={"cpu": cpu, "memory": memory, "ephemeral-storage": "64Mi"},
        limits={"memory": memory, "ephemeral-storage": "256Mi"},
    )


def spread(identity: Identity) -> list[core.v1.TopologySpreadConstraintArgs]:
    """Return constraints that spread one workload's pods over zones, then nodes, without refusing to run on fewer."""
    return [
        core.v1.TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=topology,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=identity.label_selector,
        )
        for topology in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Liveness: the process is gone. Readiness: it can serve. Startup: what it may take before either counts."""

    liveness: core.v1.ProbeArgs
    readiness: core.v1.ProbeArgs
    startup: core.v1.ProbeArgs


def http_health(port: int, *, alive: str = "/healthz", ready: str = "/readyz") -> Health:
    """Return probes of these two paths, with two minutes to start."""
    return _health(_get(alive, port), _get(ready, port))


def rest_health(port: int) -> Health:
    """Return probes of Patroni's `/liveness` and `/readiness` over TLS; a server that copies a large database is not late to start."""
    alive, ready = _get("/liveness", port, "HTTPS"), _get("/readiness", port, "HTTPS")
    return replace(_health(alive, ready), startup=_health(alive, alive).startup)


def https_health(port: int, path: str) -> Health:
    """Return probes of one path over TLS. The kubelet does not verify whom it asks."""
    asked = _get(path, port, "HTTPS")
    return _health(asked, asked)


def tcp_health(port: int) -> Health:
    """Return probes that connect."""
    connect = core.v1.ProbeArgs(tcp_socket=core.v1.TCPSocketActionArgs(port=port))
    return _health(connect, connect)


def exec_health(ready: Sequence[str]) -> Health:
    """Return probes that run `ready` in the container: for a server that logs an error for each connection without TLS."""
    probe = core.v1.ProbeArgs(exec_=core.v1.ExecActionArgs(command=list(ready)))
    return _health(probe, probe)


def _get(path: str, port: int, scheme: str | None = None) -> core.v1.ProbeArgs:
    return core.v1.ProbeArgs(http_get=core.v1.HTTPGetActionArgs(path=path, port=port, scheme=scheme))


def _health(alive: core.v1.ProbeArgs, ready: core.v1.ProbeArgs) -> Health:
    return Health(
        liveness=_probe(alive, period=10, timeout=5, failures=6),
        readiness=_probe(ready, period=5, timeout=3, failures=3),
        startup=_probe(ready, period=2, timeout=3, failures=60),
    )


def _probe(action: core.v1.ProbeArgs, *, period: int, timeout: int, failures: int) -> core.v1.ProbeArgs:
    return core.v1.ProbeArgs(
        http_get=action.http_get,
        tcp_socket=action.tcp_socket,
        exec_=action.exec_,
        period_seconds=period,
        timeout_seconds=timeout,
        failure_threshold=failures,
    )
