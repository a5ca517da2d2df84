"""The whole of a stack's settings: what may differ between stacks. Plain data: an Output never enters."""

import json
from typing import Any, Literal

import pulumi
from pydantic import Field, ValidationError

from components import versions
from components.complaints import explain
from components.setting_types import Data, Driver, Fqdn, ImageReference, Ipv4, Quantity, Schedule
from components.tier_settings import (
    ApiSettings,
    CertManagerSettings,
    FrontendSettings,
    MemcachedSettings,
    ObjectStoreSettings,
    PgBouncerSettings,
    PostgresExporterSettings,
    PostgresSettings,
    RedisSettings,
    SchedulerSettings,
    Site,
    WorkersSettings,
)


class QuotaSettings(Data):
    """The most that all pods of one namespace may request."""

    cpu: Quantity = "16"
    memory: Quantity = "32Gi"
    pods: int = Field(default=100, ge=1)


class ApiServerSettings(Data):
    """Where the cluster's own API answers. `addresses` and `port` are what `kubectl get endpoints kubernetes` shows.

    `make` finds them out for a CONTEXT; the default is this machine's node.
    """

    addresses: tuple[Ipv4, ...] = ("10.243.0.1",)
    port: int = Field(default=6443, ge=1, le=65535)


class BucketKey(Data):
    """What one account of an object store outside the cluster signs with, and who a bucket's policy says it is."""

    id: str = Field(min_length=1)
    key: str = Field(min_length=1, repr=False)
    principal: str | None = None


class BucketKeys(Data):
    """The tree under `platform:bucket-keys`, a secret: keys of an object store outside, `owner` among the accounts.

    `encryption` is what backups are encrypted with, for a stack that reads those of another.
    """

    accounts: dict[str, BucketKey] = {}
    encryption: str | None = Field(default=None, min_length=16, repr=False)

    def account(self, name: str) -> BucketKey:
        """Return the key of one account.

        Raises pulumi.RunError if there is none.
        """
        if name not in self.accounts:
            raise pulumi.RunError(
                f"{_file()}: platform:bucket-keys: accounts.{name}: required with objects.endpoint, and missing"
            )
        return self.accounts[name]


class SnapshotSettings(Data):
    """Snapshots of the volumes that hold data; `null` where the cluster cannot take any, and then nothing comes of them.

    They are taken at each time of the `schedule`, in UTC. Of each volume the last `keep` that are ready stay.
    """

    image: ImageReference = versions.SNAPSHOTS
    schedule: Schedule = "17 2 * * *"
    keep: int = Field(default=7, ge=1, le=1000)


class StorageSettings(Data):
    """Where volumes come from.

    `provisioner` is the cluster's driver, and `parameters` are what it is told. `make` takes both from the default StorageClass
    of a CONTEXT; the default is this machine's node. `reclaim` is what becomes of a volume when its claim is deleted.
    """

    provisioner: Driver = "hostpath.csi.platform"
    parameters: dict[str, str] = {}
    reclaim: Literal["Retain", "Delete"] = "Retain"
    snapshots: SnapshotSettings | None = SnapshotSettings()

    def on(self, there: dict[str, Any], file: str) -> "StorageSettings":
        """Return the settings for a cluster where `there` is what volumes come from by default; what is set stays."""
        here: dict[str, Any] = {}
        if "provisioner" not in self.model_fields_set:
            if "provisioner" not in there:
                why = "required, for the cluster has no default StorageClass; `kubectl get csidrivers` shows what there is"
                raise pulumi.RunError(f"{file}: platform:settings: storage.provisioner: {why}")
            here = {"provisioner": there["provisioner"], "parameters": there["parameters"] | self.parameters}
        if not there["snapshots"] and self.snapshots:
            why = "the cluster knows no VolumeSnapshot; install a snapshot controller, or set it to null"
            if "snapshots" in self.model_fields_set:
                raise pulumi.RunError(f"{file}: platform:settings: storage.snapshots: {why}")
            pulumi.log.warn(f"no snapshots of the volumes are taken: storage.snapshots: {why}")
            here["snapshots"] = None
        return self.model_copy(update=here)


class Settings(Data):
    """A stack: the tree under `platform:settings`, shaped like `__main__.py`."""

    domain: Fqdn
    quota: QuotaSettings = QuotaSettings()
    api_server: ApiServerSettings = ApiServerSettings()
    storage: StorageSettings = StorageSettings()
    cert_manager: CertManagerSettings = CertManagerSettings()
    postgres: PostgresSettings = PostgresSettings()
    pgbouncer: PgBouncerSettings = PgBouncerSettings()
    postgres_exporter: PostgresExporterSettings = PostgresExporterSettings()
    redis: RedisSettings = RedisSettings()
    memcached: MemcachedSettings = MemcachedSettings()
    objects: ObjectStoreSettings = ObjectStoreSettings()
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
        file = _file()
        text = config.get("settings")
        if text is None:
            raise pulumi.RunError(f"{file}: platform:settings is missing; see Pulumi.dev.yaml for its shape")
        settings = cls.parse(text, file, config.get_object("images") or {})
        # Found out by `make` for a cluster of the user's; what the stack's file says goes over it.
        found = config.get_object("api_server")
        if found is not None and "api_server" not in settings.model_fields_set:
            api_server = ApiServerSettings.model_validate_json(json.dumps(found))
            settings = settings.model_copy(update={"api_server": api_server})
        there = config.get_object("storage")
        return settings if there is None else settings.model_copy(update={"storage": settings.storage.on(there, file)})

    @staticmethod
    def bucket_keys() -> BucketKeys:
        """Return the checked keys of the selected stack, none if none are set.

        Raises pulumi.RunError with one line for each wrong key, and no value in it.
        """
        try:
            return BucketKeys.model_validate_json(pulumi.Config("platform").get("bucket-keys") or "{}")
        except ValidationError as error:
            wrong = [(".".join(str(part) for part in found["loc"]), found["msg"]) for found in error.errors()]
            lines = [f"{_file()}: platform:bucket-keys: {key}: {message}" for key, message in wrong]
            raise pulumi.RunError("\n".join(lines)) from None

    @classmethod
    def parse(cls, text: str, file: str, images: dict[str, str]) -> "Settings":
        """Return the settings in the JSON `text`, with image names replaced as `images` says; `file` is for messages."""
        try:
            return cls.model_validate_json(text, context={"images": images})
        except ValidationError as error:
            lines = [explain(cls, file, complaint) for complaint in error.errors()]
            raise pulumi.RunError("\n".join(lines)) from None


def _file() -> str:
    return f"Pulumi.{pulumi.get_stack()}.yaml"
