"""The system of record."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
from pulumi_kubernetes import core

from components import patroni
from components.certificates import CA_FILE, TLS, certificate
from components.connections import Endpoint, api_server_range, connect, secret_env
from components.defaults import rest_health
from components.jobs import Task
from components.labels import Identity
from components.logins import ROLES, Logins, task
from components.namespaces import Namespace
from components.object_store import ObjectStore
from components.passwords import login, password
from components.pods import PodArgs, Sidecar
from components.recovery import keeps
from components.settings import ApiServerSettings
from components.stateful import Stateful, service
from components.storage import DATABASE
from components.tier_settings import PostgresSettings

_PORT, _READER_PORT = 5432, 8432
USER = 999  # the uid of the upstream image, and so of existing volumes
_DATABASE = "platform"


class Postgres(pulumi.ComponentResource):
    """PostgreSQL that loses nothing it acknowledged, and is served by another server within seconds when one is lost.

    `primary` is for the application, which may read and write rows; `replicas`, empty with one instance, is for what may be
    read a moment late; `owner` is for the migration, which owns the schema; `pooler` is for a pool of connections in front of
    `primary`; `recorder` is for what notes backups and restores; `watched` is for what measures. None of them is a superuser. `files` is where backups read.
    Its log goes to the `store`, encrypted; a new database is filled
    from the newest backup there.
    """

    identity: Identity
    primary: Endpoint
    replicas: Sequence[Endpoint]
    owner: Endpoint
    pooler: Endpoint
    recorder: Endpoint
    watched: Endpoint
    files: Endpoint
    retirement: Task | None
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: PostgresSettings,
        *,
        namespace: Namespace,
        api_server: ApiServerSettings,
        store: ObjectStore,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Postgres", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        self.connections = []
        self.identity = identity = namespace.identity(name, "database")
        members = Endpoint(of=identity, ports=[_PORT, patroni.PORT], service=f"{name}-instances")
        connected = connect(identity, [members, api_server_range(api_server), store.account("backups")], child)
        passwords = {
            role: password(f"{name}-{role}", args.rotation, child)
            for role in ("superuser", "replication", "rewind", "restapi")
        }
        secrets = secret_env(
            identity,
            f"{name}-passwords",
            {f"PATRONI_{role.upper()}_PASSWORD": value for role, value in passwords.items()}
            | {"BACKUPS_ENCRYPTION_KEY": store.encryption_key},
            child,
        )
        services = [
            members.host,
            f"*.{members.host}",
            *(identity.host(f"{name}-{role}") for role in ("primary", "replicas")),
        ]
        pod = PodArgs(
            image=args.image,
            ports={"postgres": _PORT, "patroni": patroni.PORT},
            cpu=args.cpu,
            memory=args.memory,
            user=USER,
            env=[
                core.v1.EnvVarArgs(name="PATRONI_SCOPE", value=name),
                *_whereabouts(),
                *_restore_asked_for(name),
                *connected.env,
                *secrets,
            ],
            files={TLS: certificate(identity, services, child), **connected.files},
            health=rest_health(patroni.PORT),
            shutdown_seconds=55,  # a fast shutdown still writes a checkpoint
            token=True,
            beside=[_reader(f"{name}-backup")],
        )
        host = service(f"{name}-primary", identity, {"postgres": _PORT}, child, labels=patroni.PRIMARY)

        def endpoint(login: str, secret: pulumi.Output[str]) -> Endpoint:
            return Endpoint(
                of=identity,
                ports=[_PORT],
                service=f"{name}-primary",
                env={
                    "POSTGRES_HOST": host,
                    "POSTGRES_PORT": str(_PORT),
                    "POSTGRES_DATABASE": _DATABASE,
                    "POSTGRES_USERNAME": login,
                    "POSTGRES_CA_FILE": CA_FILE,
                },
                secrets={"POSTGRES_PASSWORD": secret},
                tls=True,
            )

        superuser = endpoint("postgres", passwords["superuser"])
        renewed: list[pulumi.Resource] = []
        if args.rotation > 1:
            previous = password(f"{name}-superuser", args.rotation - 1, child)
            own = {role: passwords[role] for role in ("replication", "rewind")} | {"postgres": passwords["superuser"]}
            before = replace(
                superuser,
                env={**superuser.env, "POSTGRES_SERVERS": members.host},
                secrets={**superuser.secrets, "POSTGRES_PREVIOUS_PASSWORD": previous},
            )
            renewal = Logins(
                namespace.identity(f"{name}-renewal", "database"),
                pod,
                own,
                command="renew-passwords",
                talks_to=[before],
                opts=child,
            )
            renewed = [renewal]
            self.connections = renewal.connections
        server = Stateful(
            identity,
            pod,
            args.volume,
            purpose=DATABASE,
            instances=args.instances,
            annotations=keeps(args.backups.recovery_point),
            # The store takes the key of this rotation before any server has it.
            before=[*patroni.agreement(identity, args, child), *renewed, store],
            opts=child,
        )
        given = {login(role, args.rotation): password(f"{name}-{role}", args.rotation, child) for role in ROLES}
        clients = {role: endpoint(login(role, args.rotation), given[login(role, args.rotation)]) for role in ROLES}
        logins = Logins(
            namespace.identity(f"{name}-logins", "database"),
            pod,
            given,
            talks_to=[superuser],
            after=[server],
            opts=child,
        )
        retiring = namespace.identity(f"{name}-retirement", "database")
        self.retirement = task(retiring, pod, "retire-logins", given, [superuser]) if args.rotation > 1 else None
        self.primary = clients["application"]
        self.owner = clients["migration"]
        self.pooler = clients["pooler"]
        self.recorder = clients["backups"]
        self.watched = clients["monitoring"]
        servers = [f"{name}-{ordinal}.{members.host}:{_READER_PORT}" for ordinal in range(args.instances)]
        self.files = Endpoint(
            of=identity,
            ports=[_READER_PORT],
            service=members.service,
            env={"BACKUPS_SERVERS": " ".join(servers)},
            tls=True,
        )
        self.replicas = [_replicas(name, identity, child)] if args.instances > 1 else []
        self.connections = [*self.connections, *connected.rows, *logins.connections]
        self.register_outputs({"host": host, "port": _PORT})


def _replicas(name: str, identity: Identity, opts: pulumi.ResourceOptions) -> Endpoint:
    ports = {"postgres": _PORT}
    host = service(f"{name}-replicas", identity, ports, opts, labels=patroni.REPLICA)
    env = {"POSTGRES_REPLICA_HOST": host, "POSTGRES_REPLICA_PORT": str(_PORT)}
    return Endpoint(of=identity, ports=[_PORT], service=f"{name}-replicas", env=env, tls=True)


def _reader(client: str) -> Sidecar:
    """Return what lets this client, by the name in its certificate, read the server's files for a backup."""
    return Sidecar(
        name="reader",
        ports={"backups": _READER_PORT},
        cpu="10m",
        memory="96Mi",
        args=["serve-files"],
        env=[core.v1.EnvVarArgs(name="PGBACKREST_TLS_SERVER_AUTH", value=f"{client}=postgres")],
    )


def _restore_asked_for(name: str) -> list[core.v1.EnvVarArgs]:
    """Return the number of the last restore in place and the moment it is to; `make restore` writes both, and there may be none."""
    return [
        core.v1.EnvVarArgs(
            name=f"RESTORE_{key.upper()}",
            value_from=core.v1.EnvVarSourceArgs(
                config_map_key_ref=core.v1.ConfigMapKeySelectorArgs(name=f"{name}-restore", key=key, optional=True)
            ),
        )
        for key in ("number", "target")
    ]


def _whereabouts() -> list[core.v1.EnvVarArgs]:
    """Return what Patroni must know of its own pod; the server tells the others its address, which DNS would tell later."""

    def field(path: str) -> core.v1.EnvVarSourceArgs:
        return core.v1.EnvVarSourceArgs(field_ref=core.v1.ObjectFieldSelectorArgs(field_path=path))

    return [
        core.v1.EnvVarArgs(name="PATRONI_NAME", value_from=field("metadata.name")),
        core.v1.EnvVarArgs(name="PATRONI_KUBERNETES_NAMESPACE", value_from=field("metadata.namespace")),
        core.v1.EnvVarArgs(name="PATRONI_KUBERNETES_POD_IP", value_from=field("status.podIP")),
        core.v1.EnvVarArgs(name="PATRONI_POSTGRESQL_CONNECT_ADDRESS", value=f"$(PATRONI_KUBERNETES_POD_IP):{_PORT}"),
        core.v1.EnvVarArgs(
            name="PATRONI_RESTAPI_CONNECT_ADDRESS", value=f"$(PATRONI_KUBERNETES_POD_IP):{patroni.PORT}"
        ),
    ]
