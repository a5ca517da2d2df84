"""How the database's servers agree which of them is the primary: Patroni, through the Kubernetes API and nothing else."""

import json
from typing import Any

import pulumi
from pulumi_kubernetes import core, rbac

from components.certificates import TLS
from components.labels import ANNOTATIONS, Identity
from components.quantities import bytes_of
from components.tier_settings import CONNECTIONS, PostgresSettings

PORT = 8008
"""Where each server tells how it is (`/liveness`, `/readiness`, `/metrics`), and the others ask it before they fail over."""

PRIMARY, REPLICA = {"role": "primary"}, {"role": "replica"}
"""The label that Patroni keeps on each pod."""

# A primary that does not renew its lease for `ttl` seconds is replaced. Lower would be quicker when a whole primary freezes,
# and would demote healthy ones whenever the API server takes a few seconds longer, as in patroni#3462 and #3572. Patroni wants
# loop_wait + 2 retry_timeout <= ttl. A crash or a shutdown does not wait for the lease.
_LEASE = {"ttl": 20, "loop_wait": 3, "retry_timeout": 8}


def configuration(args: PostgresSettings) -> dict[str, Any]:
    """Return what Patroni calls its dynamic configuration: the servers follow it without a restart where PostgreSQL can."""
    return {
        **_LEASE,
        # While the API server is away, a primary that reaches all other servers stays what it is.
        "failsafe_mode": True,
        "maximum_lag_on_failover": 1 << 20,
        # One of the replicas, whichever is first: a slow one delays no commit.
        "synchronous_mode": "quorum" if args.synchronous else False,
        "postgresql": {
            "use_slots": True,
            "use_pg_rewind": True,
            # What a former primary has and the new one has not was never acknowledged, if commits wait for a replica.
            "remove_data_directory_on_rewind_failure": args.synchronous,
            "remove_data_directory_on_diverged_timelines": args.synchronous,
            "parameters": _parameters(args),
            "pg_hba": _ACCESS,
        },
    }


def _parameters(args: PostgresSettings) -> dict[str, Any]:
    memory, disk = bytes_of(args.memory), bytes_of(args.volume.size)
    return {
        "max_connections": CONNECTIONS,
        # Quarters and sixteenths of the container's limit, after the PostgreSQL manual (resource consumption).
        "shared_buffers": _kilobytes(memory // 4),
        "effective_cache_size": _kilobytes(memory // 2),
        "maintenance_work_mem": _kilobytes(memory // 16),
        "work_mem": _kilobytes(max(memory // 4 // CONNECTIONS, 1 << 20)),
        # However far a replica is behind or a burst goes, the log leaves the data most of the volume.
        "max_wal_size": _megabytes(min(disk // 8, 16 << 30)),
        "min_wal_size": _megabytes(min(disk // 16, 1 << 30)),
        "max_slot_wal_keep_size": _megabytes(disk // 4),
        # What a former primary could not archive is kept by it and by its replicas, for `fill_archive` to bring.
        "wal_keep_size": _megabytes(min(disk // 8, 4 << 30)),
        # A segment is in the bucket within a minute of its first write: so much can be lost if all servers are. A server that
        # cannot archive keeps the log until it can (pgBackRest's archive-push-queue-max, which drops it instead, stays unset).
        "archive_mode": "on",
        "archive_command": "pgbackrest archive-push %p",
        "archive_timeout": "60s",
        # A peer that is frozen, and not gone, is noticed in seconds.
        "wal_sender_timeout": "10s",
        "wal_receiver_timeout": "10s",
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        "client_connection_check_interval": "10s",
        "idle_in_transaction_session_timeout": "60s",
        "ssl": "on",
        "ssl_cert_file": f"{TLS}/tls.crt",
        "ssl_key_file": f"{TLS}/tls.key",
        "ssl_min_protocol_version": "TLSv1.3",
        "password_encryption": "scram-sha-256",
        "shared_preload_libraries": "pg_stat_statements,pgaudit",
        "pgaudit.log": "ddl, role",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_checkpoints": "on",
        "log_lock_waits": "on",
        "log_connections": "on",
        "jit": "off",  # the image carries no compiler
        "dynamic_shared_memory_type": "sysv",  # a container's /dev/shm is 64 MB, too little for a parallel query
        "timezone": "UTC",
        "log_timezone": "UTC",
    }


# Inside the container the system user `postgres` is the superuser of the same name; nobody else uses the socket. Which pods
# reach the port is the network policy's business; who they are is proven with a password, and none comes in without TLS.
_ACCESS = [
    "local all postgres peer",
    "local replication replication scram-sha-256",  # Patroni asks its own server for its timeline this way
    "hostssl replication replication all scram-sha-256",
    "host all replication all reject",
    "hostssl postgres rewind all scram-sha-256",
    "host all rewind all reject",
    "hostssl all all all scram-sha-256",
]


def _kilobytes(number: int) -> str:
    return f"{number >> 10}kB"


def _megabytes(number: int) -> str:
    return f"{number >> 20}MB"


def agreement(identity: Identity, args: PostgresSettings, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Create what the servers agree through: their configuration, and the right to keep who leads beside it.

    Patroni keeps its state in the annotations of ConfigMaps; the one of the configuration is there before the servers are.
    """
    name = identity.name
    text = json.dumps(configuration(args), separators=(",", ":"))
    metadata = identity.metadata(f"{name}-config")
    metadata.annotations = ANNOTATIONS | {
        "config": text,
        # What someone changed with `patronictl edit-config` is theirs until the next `up`.
        "pulumi.com/patchForce": "true",
    }
    settings = core.v1.ConfigMap(f"{name}-config", metadata=metadata, opts=opts)
    keys = [f"{name}-{key}" for key in ("config", "leader", "failover", "sync", "failsafe")]
    pods = [f"{name}-{ordinal}" for ordinal in range(args.instances)]
    rules = [
        # Neither lists nor creations can be limited to names.
        rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["configmaps", "pods"], verbs=["list", "watch"]),
        rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["configmaps"], verbs=["create"]),
        rbac.v1.PolicyRuleArgs(
            api_groups=[""], resources=["configmaps"], resource_names=keys, verbs=["get", "patch", "update", "delete"]
        ),
        rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["pods"], resource_names=pods, verbs=["get", "patch"]),
    ]
    role = rbac.v1.Role(name, metadata=identity.metadata(), rules=rules, opts=opts)
    binding = rbac.v1.RoleBinding(
        name,
        metadata=identity.metadata(),
        role_ref=rbac.v1.RoleRefArgs(
            api_group="rbac.authorization.k8s.io", kind="Role", name=role.metadata.name.apply(str)
        ),
        subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=name, namespace=identity.namespace)],
        opts=opts,
    )
    return [settings, binding]
