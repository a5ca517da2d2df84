"""What the processes read from their environment; what is missing or malformed is refused by variable name."""

import os
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

Port = Annotated[int, Field(ge=1, le=65535)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$")]
Seconds = Annotated[float, Field(gt=0)]


def _host_names(text: str) -> str:
    for name in filter(None, (part.strip() for part in text.split(","))):
        if not name.isascii() or any(character in name for character in "/@:* "):
            raise ValueError(f"{name!r} is not a host name: write names only, separated by commas")
    return text


class SettingsError(Exception):
    """The environment is not usable; the message has one line per variable."""


class Section(BaseModel):
    """One group of variables: each field is read from its name in capitals, and an empty value counts as absent."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the section, or raise with one line per variable that is wrong."""
        given = {name: environment[name.upper()] for name in cls.model_fields if environment.get(name.upper())}
        try:
            return cls.model_validate(given)
        except ValidationError as refusal:
            lines = [
                f"{str(error['loc'][0]).upper()}: {_why(error['type'], error['msg'])}" for error in refusal.errors()
            ]
            raise SettingsError("\n".join(lines)) from None


def _why(kind: str, message: str) -> str:
    return "is not set" if kind == "missing" else message


class Migration(Section):
    """How long a migration waits for the database to answer, and for a lock while requests queue up behind it."""

    migration_wait_seconds: Seconds = 60
    migration_lock_seconds: Seconds = 5


class Server(Section):
    """Where the process answers: its service, or its health and metrics only."""

    port: Port = 8080


class Postgres(Section):
    """With a CA file the server must prove its name with a certificate of that authority; without one, anything is taken."""

    postgres_host: HostName
    postgres_port: Port
    postgres_database: str
    postgres_username: str
    postgres_password: SecretStr
    postgres_ca_file: str | None = None
    postgres_replica_host: HostName | None = None
    postgres_replica_port: Port = 5432
    postgres_connections: int = Field(default=8, ge=1, le=100)
    # How long a request of the API waits for a primary. A planned change of it takes about three seconds, and up to ten on a machine
    # of two processors that starts all other pods anew meanwhile.
    postgres_patience_seconds: Seconds = 15

    @property
    def verification(self) -> dict[str, str]:
        """How libpq is to verify the server."""
        if self.postgres_ca_file is None:
            return {}
        return {"sslmode": "verify-full", "sslrootcert": self.postgres_ca_file}


class Redis(Section):
    """The queue, and how long a message waits for its worker. A job that takes longer than that is run twice."""

    redis_host: HostName
    redis_port: Port
    redis_username: str = "default"
    redis_password: SecretStr
    redis_ca_file: str | None = None
    job_retry_after_seconds: Seconds = 30


class Memcached(Section):
    """Absent where the platform has no Memcached: the totals are then read from Postgres."""

    memcached_host: HostName | None = None
    memcached_port: Port = 11211
    memcached_ca_file: str | None = None


class Scrape(Section):
    """What a fetch may reach and cost."""

    scrape_allowed_hosts: Annotated[str, AfterValidator(_host_names)] = ""
    scrape_seconds: Seconds = 15
    scrape_max_bytes: int = Field(default=1_048_576, ge=1)
    scrape_max_redirects: int = Field(default=5, ge=0)

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """The names that may resolve to private addresses."""
        return frozenset(
            name.strip().rstrip(".").lower() for name in self.scrape_allowed_hosts.split(",") if name.strip()
        )


class Work(Section):
    """How a worker works."""

    job_attempts: int = Field(default=5, ge=1)
    worker_threads: int = Field(default=4, ge=1, le=64)


class Schedule(Section):
    """When the scheduler does what."""

    scheduler_tick_seconds: Seconds = 5
    scheduler_lease_seconds: Seconds = 15
    # A message is looked for after the first; a job that has had none for the second gets one.
    sweep_after_seconds: Seconds = 30
    unqueued_after_seconds: Seconds = 5
    rescrape_after_seconds: Seconds = 3600
    keep_jobs_seconds: Seconds = 7 * 24 * 3600
