"""What may differ between stacks in one tier, with its type, its constraint and its default."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components import versions
from components.setting_types import Data, Duration, Fqdn, ImageReference, Name, Quantity, Rotation, Schedule


class Scale(Data):
    """How many pods. Equal bounds mean a fixed number; otherwise CPU use between them decides."""

    min: int = Field(default=2, ge=1, le=100)
    max: int = Field(default=4, ge=1, le=100)
    cpu_percent: int = Field(default=70, ge=10, le=95)

    @model_validator(mode="after")
    def _ordered(self) -> "Scale":
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) is below min ({self.min})")
        return self


class WorkloadSettings(Data):
    """Size of one stateless workload. `cpu` is requested; `memory` is requested and the limit."""

    image: ImageReference
    scale: Scale = Scale()
    cpu: Quantity = "100m"
    memory: Quantity = "128Mi"


class FrontendSettings(WorkloadSettings):
    """`node_port` opens the frontend on every node, for a cluster that has no edge in front of it."""

    image: ImageReference = versions.FRONTEND
    memory: Quantity = "64Mi"
    node_port: int | None = Field(default=None, ge=30000, le=32767)


class ApiSettings(WorkloadSettings):
    """The HTTP API. Its image also carries the schema migrations."""

    image: ImageReference = versions.API


class WorkerSettings(WorkloadSettings):
    """One kind of worker."""

    image: ImageReference = versions.WORKER


class SchedulerSettings(WorkloadSettings):
    """The scheduler. One pod is active however many run; a second one only shortens the takeover."""

    image: ImageReference = versions.SCHEDULER
    scale: Scale = Scale(min=1, max=1)


class WorkersSettings(Data):
    """The three kinds of background worker."""

    scraping: WorkerSettings = WorkerSettings()
    processing: WorkerSettings = WorkerSettings()
    analytics: WorkerSettings = WorkerSettings()


class Site(Data):
    """A site inside the cluster that may be scraped although its address is private."""

    name: Name
    namespace: Name
    port: int = Field(ge=1, le=65535)

    @property
    def host(self) -> str:
        """The one host name under which it may be asked for."""
        return f"{self.name}.{self.namespace}.svc.cluster.local"


class VolumeSettings(Data):
    """A data volume. `keep` retains it, and protects its owner, when the stack is destroyed.

    `storage_class` is a class of the cluster's own, instead of the platform's for the purpose.
    """

    size: Quantity = "10Gi"
    storage_class: Name | None = None
    keep: bool = True


class BackupSettings(Data):
    """When the database is backed up and a restore is tried, in UTC. `keep_full` full backups are kept, with what builds on them.

    `recovery_point` is how much time may be lost with all volumes. Backups and the log that is brought to the store must hold that.
    """

    full: Schedule = "0 1 * * 0"
    differential: Schedule = "0 1 * * 1-6"
    drill: Schedule = "0 4 * * *"
    keep_full: int = Field(default=4, ge=1, le=1000)
    recovery_point: Duration = "5m"


class PostgresSettings(Data):
    """The system of record. With 3 `instances` it is a primary and two replicas.

    With `synchronous` a write is acknowledged when a replica has it too, so that losing the primary with its disk loses none.
    `rotation`, raised by one, replaces all its passwords; it is never lowered.
    """

    instances: Literal[1, 3] = 3
    synchronous: bool = True
    image: ImageReference = versions.POSTGRES
    cpu: Quantity = "250m"
    memory: Quantity = "512Mi"
    volume: VolumeSettings = VolumeSettings()
    backups: BackupSettings = BackupSettings()
    rotation: Rotation = 1


CONNECTIONS = 200
"""How many connections a server of the database takes."""

# The rest is for who does not come through the pool: three are the superuser's own, and Patroni, backups, drills, the migration, the
# exporter, and the Jobs for logins need one to three each. Who reads from a replica, up to eight for each pod of the API, stays for
# a while when it is promoted. Replication has places of its own.
_POOLED = 80


class PgBouncerSettings(WorkloadSettings):
    """The pool in front of the primary. Each pod opens up to `connections` to it, one of them to check who comes in.

    In a rollout each pod and its successor have their `connections`, of the 80 that the primary has for all of them. With all of
    them lent, a transaction waits up to `wait_seconds` for one.
    """

    image: ImageReference = versions.PGBOUNCER
    scale: Scale = Scale(min=2, max=2)
    memory: Quantity = "64Mi"
    connections: int = Field(default=20, ge=2, le=40)
    wait_seconds: int = Field(default=10, ge=1, le=60)

    @model_validator(mode="after")
    def _within_the_servers_limit(self) -> "PgBouncerSettings":
        pods = 2 * self.scale.max
        most = pods * self.connections
        if most > _POOLED:
            right = [
                *([f"connections of at most {_POOLED // pods}"] if _POOLED // pods > 1 else []),
                f"scale.max of at most {_POOLED // (2 * self.connections)}",
            ]
            raise ValueError(
                f"connections ({self.connections}) of scale.max ({self.scale.max}) pods and of their successors are {most}, and the"
                f" database has {_POOLED} for them; right would be {', or '.join(right)}"
            )
        return self


class PostgresExporterSettings(Data):
    """What measures the database."""

    image: ImageReference = versions.POSTGRES_EXPORTER
    cpu: Quantity = "25m"
    memory: Quantity = "64Mi"


class RedisBackupSettings(Data):
    """The queue is put into the object store at each time of the `schedule`, in UTC. The last `keep` of those backups stay.

    `recovery_point` is how much time may be lost with all volumes. The schedule must hold that.
    """

    schedule: Schedule = "47 */6 * * *"
    keep: int = Field(default=28, ge=1, le=1000)
    recovery_point: Duration = "6h"


class RedisSettings(Data):
    """The job queue: a primary and a replica.

    Its data set may fill three quarters of `memory`; beyond that it refuses writes, it never evicts. `primary` is the number of
    the pod that leads; changing it promotes the other. `rotation`, raised by one, replaces all its passwords.
    """

    image: ImageReference = versions.REDIS
    primary: Literal[0, 1] = 0
    cpu: Quantity = "100m"
    memory: Quantity = "256Mi"
    volume: VolumeSettings = VolumeSettings()
    backups: RedisBackupSettings = RedisBackupSettings()
    rotation: Rotation = 1


class MemcachedSettings(WorkloadSettings):
    """The cache, whose content may vanish at any time."""

    image: ImageReference = versions.MEMCACHED
    scale: Scale = Scale(min=1, max=1)
    memory: Quantity = "96Mi"


class CertManagerSettings(WorkloadSettings):
    """What issues and renews certificates. One pod is active however many run."""

    image: ImageReference = versions.CERT_MANAGER
    scale: Scale = Scale(min=1, max=1)
    cpu: Quantity = "25m"


class ObjectEndpoint(Data):
    """Object storage outside the cluster, in place of the gateway: AWS S3, or what speaks like it.

    It answers on `host` and `port`, over TLS with a certificate that the world trusts, for requests signed for `region`. Names of
    buckets begin with `prefix`, for on AWS they are shared with everybody. With `create`, buckets are made and kept in order with
    the key of `owner`.
    """

    host: Fqdn
    port: int = Field(default=443, ge=1, le=65535)
    region: Name
    prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="the beginning of a bucket's name")]
    create: bool = False


class ObjectStoreSettings(Data):
    """The store of files, backups and logs: a gateway on a volume in the cluster, or with `endpoint` one outside.

    `buckets_image` is what makes the buckets and sweeps them, and puts the queue's backups into one. What is put into backups and
    logs cannot be removed before `retention_days`, and what was removed or written over in any bucket can be had back for as long.
    `rotation`, raised by one, replaces all its keys.
    """

    image: ImageReference = versions.VERSITYGW
    buckets_image: ImageReference = versions.BUCKETS
    cpu: Quantity = "100m"
    memory: Quantity = "256Mi"
    volume: VolumeSettings = VolumeSettings(size="50Gi")
    retention_days: int = Field(default=30, ge=1, le=3650)
    endpoint: ObjectEndpoint | None = None
    rotation: Rotation = 1
