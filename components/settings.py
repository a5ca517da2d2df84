"""What may differ between stacks, with its type, its constraint and its default. Plain data: an Output never enters."""

import difflib
from typing import Annotated, Any, cast, get_args

import pulumi
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from components import versions


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
    """The system of record."""

    image: ImageReference = versions.POSTGRES
    cpu: Quantity = "250m"
    memory: Quantity = "512Mi"
    volume: VolumeSettings = VolumeSettings()


class RedisSettings(_Data):
    """The job queue. Its data set may fill three quarters of `memory`; beyond that it refuses writes, it never evicts."""

    image: ImageReference = versions.REDIS
    cpu: Quantity = "100m"
    memory: Quantity = "256Mi"
    volume: VolumeSettings = VolumeSettings()


class MemcachedSettings(WorkloadSettings):
    """The cache, whose content may vanish at any time."""

    image: ImageReference = versions.MEMCACHED
    scale: Scale = Scale(min=1, max=1)
    memory: Quantity = "96Mi"


class QuotaSettings(_Data):
    """The most that all pods of one namespace may request."""

    cpu: Quantity = "16"
    memory: Quantity = "32Gi"
    pods: int = Field(default=100, ge=1)


class Settings(_Data):
    """A stack: the tree under `platform:settings`, shaped like `__main__.py`."""

    domain: Fqdn
    quota: QuotaSettings = QuotaSettings()
    postgres: PostgresSettings = PostgresSettings()
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
        return cls.parse(text, file, config.get_object("images") or {})

    @classmethod
    def parse(cls, text: str, file: str, images: dict[str, str]) -> "Settings":
        """Return the settings in the JSON `text`, with image names replaced as `images` says; `file` is for messages."""
        try:
            return cls.model_validate_json(text, context={"images": images})
        except ValidationError as error:
            lines = [
                _explain(file, problem["loc"], problem["type"], problem["msg"], problem["input"])
                for problem in error.errors()
            ]
            raise pulumi.RunError("\n".join(lines)) from None


def _explain(file: str, location: tuple[int | str, ...], kind: str, message: str, value: Any) -> str:
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        known = list(_model_at(location[:-1]).model_fields)
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{file}: platform:settings: {key}: unknown setting; {hint}"
    if kind == "missing":
        return f"{file}: platform:settings: {key}: required, and missing"
    message = message.removeprefix("Value error, ")
    described = _description(location)
    expected = f" ({described})" if described else ""
    return (
        f"{file}: platform:settings: {key}: {value!r}: {message}{expected}"
        if kind != "value_error"
        else f"{file}: platform:settings: {key}: {message}"
    )


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model whose fields a location names."""
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = _models_in(annotation)
    return model


def _models_in(annotation: Any) -> type[BaseModel]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_models_in(argument) for argument in get_args(annotation) if argument is not Ellipsis)


def _description(location: tuple[int | str, ...]) -> str | None:
    try:
        return _model_at(location[:-1]).model_fields[str(location[-1])].description
    except (KeyError, StopIteration):
        return None
