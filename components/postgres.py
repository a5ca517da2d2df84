"""The system of record."""

import pulumi

from components.connections import Endpoint, secret_env
from components.defaults import exec_health
from components.namespaces import Namespace
from components.passwords import password
from components.pods import PodArgs
from components.settings import PostgresSettings
from components.stateful import Stateful

_PORT = 5432
_USER = 999  # the uid of the upstream image, and so of existing volumes
_DATABASE = "platform"


class Postgres(pulumi.ComponentResource):
    """PostgreSQL, durable: what it acknowledged is on disk.

    `primary` is for the application, which may read and write rows; `owner` is for the migration, which owns the
    schema. Neither is a superuser.
    """

    primary: Endpoint
    owner: Endpoint

    def __init__(
        self, name: str, args: PostgresSettings, *, namespace: Namespace, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("platform:index:Postgres", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = namespace.identity(name, "database")
        passwords = {role: password(f"{name}-{role}", child) for role in ("superuser", "migration", "application")}
        env = secret_env(
            identity,
            f"{name}-passwords",
            {f"POSTGRES_{role.upper()}_PASSWORD": value for role, value in passwords.items()}
            | {"POSTGRES_DATABASE": _DATABASE},
            child,
        )
        server = Stateful(
            identity,
            PodArgs(
                image=args.image,
                port=_PORT,
                port_name="postgres",
                cpu=args.cpu,
                memory=args.memory,
                user=_USER,
                env=env,
                health=exec_health(_PORT, ["pg_isready", "--host=127.0.0.1", f"--dbname={_DATABASE}", "--timeout=2"]),
                shutdown_seconds=55,  # a fast shutdown still writes a checkpoint
            ),
            args.volume,
            service=f"{name}-primary",
            opts=child,
        )

        def endpoint(role: str) -> Endpoint:
            return Endpoint(
                of=identity,
                port=_PORT,
                service=server.endpoint.service,
                env={
                    "POSTGRES_HOST": server.endpoint.host,
                    "POSTGRES_PORT": str(_PORT),
                    "POSTGRES_DATABASE": _DATABASE,
                    "POSTGRES_USERNAME": role,
                },
                secrets={"POSTGRES_PASSWORD": passwords[role]},
            )

        self.primary = endpoint("application")
        self.owner = endpoint("migration")
        self.register_outputs({"host": server.endpoint.host, "port": _PORT})
