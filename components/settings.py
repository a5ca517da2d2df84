"""The whole of a stack's settings: what may differ between stacks. Plain data: an Output never enters."""

import json

import pulumi
from pydantic import Field, ValidationError

from components.complaints import explain
from components.tier_settings import (
    ApiSettings,
    CertManagerSettings,
    Data,
    Fqdn,
    FrontendSettings,
    Ipv4,
    MemcachedSettings,
    ObjectStoreSettings,
    PgBouncerSettings,
    PostgresSettings,
    Quantity,
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


class Settings(Data):
    """A stack: the tree under `platform:settings`, shaped like `__main__.py`."""

    domain: Fqdn
    quota: QuotaSettings = QuotaSettings()
    api_server: ApiServerSettings = ApiServerSettings()
    cert_manager: CertManagerSettings = CertManagerSettings()
    postgres: PostgresSettings = PostgresSettings()
    pgbouncer: PgBouncerSettings = PgBouncerSettings()
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
        if found is None or "api_server" in settings.model_fields_set:
            return settings
        return settings.model_copy(update={"api_server": ApiServerSettings.model_validate_json(json.dumps(found))})

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
