"""What may differ between stacks, with its type, its constraint and its default. Plain data: an Output never enters."""

import json
from typing import Annotated, Literal, cast

import pulumi
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from components import versions
from components.complaints import explain


def _locked(reference: str, info: ValidationInfo) -> str:
    """Return what the stack's `platform:images` says runs under this name, or the name itself."""
    if reference.endswith(":latest"):
        raise ValueError(f"{reference}: latest names a different image each day; give a version or a digest")
    context = cast("dict[str, dict[str, str]]", info.context or {})
    return context.get("images", {}).get(reference, reference)


Quantity = Annotated[
    str, Field(pattern=r"^[1-9]\d*(m|Ki|Mi|Gi|Ti)?$", description="a Kubernetes quantity, like 250m or 64Mi")
]
Fqdn = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$",
        description="a host name, like example.com",
    ),
]
Ipv4 = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}$", description="an IPv4 address, like 10.0.0.1")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="a Kubernetes name")]
ImageReference = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9./:_-]*(:\w[\w.-]*|@sha256:[0-9a-f]{64})$",
        description="an image with a tag other than latest, or a digest",
    ),
    AfterValidator(_locked),
]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class Scale(_Data):
    """How many pods. Equal bounds mean a fixed number; otherwise CPU use between them decides."""

    min: int = Field(default=2, ge=1, le=100)
    max: int = Field(default=4, ge=1, le=100)
    cpu_percent: int = Field(default=70, ge=10, le=95)

    @model_validator(mode="after")
    def _ordered(self) -> "Scale":
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) is below min ({self.min})")
        return self


class WorkloadSettings(_Data):
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


class WorkersSettings(_Data):
    """The three kinds of background worker."""

    scraping: WorkerSettings = WorkerSettings()
    processing: WorkerSettings = WorkerSettings()
    analytics: WorkerSettings = WorkerSettings()


class Site(_Data):
    """A site inside the cluster that may be scraped although its address is private."""

    name: Name
    namespace: Name
    port: int = Field(ge=1, le=65535)

    @property
    def host(self) -> str:
        """The one host name under which it may be asked for."""
        return f"{self.name}.{self.namespace}.svc.cluster.local"


class VolumeSettings(_Data):
    """A data volume. `keep` retains it, and protects its owner, when the stack is destroyed."""

    size: Quantity = "10Gi"
    storage_class: Name | None = None
    keep: bool = True


class PostgresSettings(_Data):
    """The system of record. With 3 `instances` it is a primary and two replicas.

    With `synchronous` a write is acknowledged when a replica has it too, so that losing the primary with its disk loses none.
    """

    instances: Literal[1, 3] = 3
    synchronous: bool = True
    image: ImageReference = versions.POSTGRES
    cpu: Quantity = "250m"
    memory: Quantity = "512Mi"
    volume: VolumeSettings = VolumeSettings()


class PgBouncerSettings(WorkloadSettings):
    """The pool in front of the primary. Each pod opens up to `connections` to it, of the 100 that it takes.

    A transaction waits up to `wait_seconds` for one, so that a change of the primary delays it instead of failing it.
    """

    image: ImageReference = versions.PGBOUNCER
    scale: Scale = Scale(min=2, max=2)
    memory: Quantity = "64Mi"
    connections: int = Field(default=20, ge=1, le=40)
    wait_seconds: int = Field(default=10, ge=1, le=60)


class RedisSettings(_Data):
    """The job queue: a primary and a replica.

    Its data set may fill three quarters of `memory`; beyond that it refuses writes, it never evicts. `primary` is the number of
    the pod that leads; changing it promotes the other.
    """

    image: ImageReference = versions.REDIS
    primary: Literal[0, 1] = 0
    cpu: Quantity = "100m"
    memory: Quantity = "256Mi"
    volume: VolumeSettings = VolumeSettings()


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


class QuotaSettings(_Data):
    """The most that all pods of one namespace may request."""

    cpu: Quantity = "16"
    memory: Quantity = "32Gi"
    pods: int = Field(default=100, ge=1)


class ApiServerSettings(_Data):
    """Where the cluster's own API answers. `addresses` and `port` are what `kubectl get endpoints kubernetes` shows.

    `make` finds them out for a CONTEXT; the default is this machine's node.
    """

    addresses: tuple[Ipv4, ...] = ("10.243.0.1",)
    port: int = Field(default=6443, ge=1, le=65535)


class Settings(_Data):
    """A stack: the tree under `platform:settings`, shaped like `__main__.py`."""

    domain: Fqdn
    quota: QuotaSettings = QuotaSettings()
    api_server: ApiServerSettings = ApiServerSettings()
    cert_manager: CertManagerSettings = CertManagerSettings()
    postgres: PostgresSettings = PostgresSettings()
    pgbouncer: PgBouncerSettings = PgBouncerSettings()
    redis: RedisSettings = RedisSettings()
    memcached: MemcachedSettings = MemcachedSettings()
    api: ApiSettings = ApiSettings()
    workers: WorkersSettings = WorkersSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    frontend: FrontendSettings = FrontendSettings()
    scrape_sites: tuple[Site, ...] = ()

    @property
    def url(self) -> str:
        """Where people reach the frontend: on the node itself where nothing is in front of it, else under the domain."""
        if self.frontend.node_port:
            return f"http://127.0.0.1:{self.frontend.node_port}"
        return f"https://{self.domain}"

    @classmethod
    def load(cls) -> "Settings":
        """Return the checked settings of the selected stack.

        Raises pulumi.RunError, which the engine shows without a traceback, with one line for each wrong key.
        """
        config = pulumi.Config("platform")
        file = f"Pulumi.{pulumi.get_stack()}.yaml"
        text = config.get("settings")
        if text is None:
            raise pulumi.RunError(f"{file}: platform:settings is missing; see Pulumi.dev.yaml for its shape")
        settings = cls.parse(text, file, config.get_object("images") or {})
        # Found out by `make` for a cluster of the user's; what the stack's file says goes over it.
        found = config.get_object("api_server")
        if found is None or "api_server" in settings.model_fields_set:
            return settings
        return settings.model_copy(update={"api_server": ApiServerSettings.model_validate_json(json.dumps(found))})

    @classmethod
    def parse(cls, text: str, file: str, images: dict[str, str]) -> "Settings":
        """Return the settings in the JSON `text`, with image names replaced as `images` says; `file` is for messages."""
        try:
            return cls.model_validate_json(text, context={"images": images})
        except ValidationError as error:
            lines = [explain(cls, file, complaint) for complaint in error.errors()]
            raise pulumi.RunError("\n".join(lines)) from None
