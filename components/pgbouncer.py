"""The pool of connections in front of the database."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import core

from components.certificates import CA_FILE, TLS, certificate
from components.connections import Endpoint
from components.defaults import tcp_health
from components.labels import Identity
from components.namespaces import Namespace
from components.pods import PodArgs
from components.postgres import Postgres
from components.tier_settings import PgBouncerSettings
from components.workload import Workload

_PORT = 6432
_USER = 70

# Clients show no certificate, but without a file to verify one against 1.18 looks for the system's, which the image has not.
# While another server is made the primary, 1.18 tells clients to come again ("server login has been failing"), and tries anew
# twice a second itself; after that it lends connections as before.
#
# A pool is one login's, and a rotation has two for each role: all of them together are limited, and one that has no connection takes
# an idle one of another. A login's pool is smaller by one, for whoever comes in is checked through a pool too (`auth_user`): were all
# connections lent to one login, nobody new could come in.
_CONFIGURATION = """\
[databases]
{database} = host={host} port={port} auth_user={login}

[pgbouncer]
listen_addr = 0.0.0.0
listen_port = {listen}
unix_socket_dir =
pool_mode = transaction
max_client_conn = 1000
default_pool_size = {lent}
max_db_connections = {connections}
query_wait_timeout = {wait}
server_connect_timeout = 3
server_login_retry = 0.5
server_lifetime = 600
server_fast_close = 1
tcp_keepidle = 10
tcp_keepintvl = 5
tcp_keepcnt = 3
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/users.txt
auth_query = SELECT name, secret FROM platform.login($1)
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = require
client_tls_ca_file = {tls}/ca.crt
client_tls_protocols = tlsv1.3
client_tls_cert_file = {tls}/tls.crt
client_tls_key_file = {tls}/tls.key
server_tls_sslmode = verify-full
server_tls_ca_file = {authority}
server_tls_protocols = tlsv1.3
admin_users =
stats_users =
"""


class PgBouncer(pulumi.ComponentResource):
    """Many clients on few connections, each lent for one transaction; a client may keep nothing in its session between two.

    `primary` is the database's own endpoint of that name, through the pool. It holds no password but its own: clients are
    checked against the database, whose answer also lets it in there in their name.
    """

    primary: Endpoint
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: PgBouncerSettings,
        *,
        namespace: Namespace,
        database: Postgres,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:PgBouncer", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        identity = namespace.identity(name, "database")
        pool = Workload(
            identity,
            PodArgs(
                image=args.image,
                ports={"pgbouncer": _PORT},
                cpu=args.cpu,
                memory=args.memory,
                user=_USER,
                files={
                    "/etc/pgbouncer": _configuration(identity, args, database, child),
                    TLS: certificate(identity, [identity.host(name)], child),
                },
                health=tcp_health(_PORT),
            ),
            args.scale,
            talks_to=[database.pooler],
            after=[database],
            opts=child,
        )
        server = database.primary
        self.primary = Endpoint(
            of=identity,
            ports=[_PORT],
            env={**server.env, "POSTGRES_HOST": pool.endpoint.host, "POSTGRES_PORT": str(_PORT)},
            secrets=server.secrets,
            tls=True,
        )
        self.connections = pool.connections
        self.register_outputs({"host": pool.endpoint.host, "port": _PORT})


def _text(args: PgBouncerSettings, host: str, port: int, database: str, login: str) -> str:
    return _CONFIGURATION.format(
        database=database,
        login=login,
        host=host,
        port=port,
        listen=_PORT,
        lent=args.connections - 1,
        connections=args.connections,
        wait=args.wait_seconds,
        tls=TLS,
        authority=CA_FILE,
    )


def _configuration(
    identity: Identity, args: PgBouncerSettings, database: Postgres, opts: pulumi.ResourceOptions
) -> core.v1.VolumeArgs:
    """Return the volume of the pool's own files."""
    server = database.pooler
    login = server.env["POSTGRES_USERNAME"]
    text = _text(args, server.host, server.port, server.env["POSTGRES_DATABASE"], login)
    password = pulumi.Output.from_input(server.secrets["POSTGRES_PASSWORD"])
    files = core.v1.Secret(
        f"{identity.name}-configuration",
        metadata=identity.unnamed_metadata(),
        string_data={"pgbouncer.ini": text, "users.txt": password.apply(lambda value: f'"{login}" "{value}"\n')},
        immutable=True,
        opts=opts,
    )
    return core.v1.VolumeArgs(
        name="configuration",
        secret=core.v1.SecretVolumeSourceArgs(
            secret_name=files.metadata.name,
            default_mode=0o440,
            items=[core.v1.KeyToPathArgs(key=file, path=file) for file in ("pgbouncer.ini", "users.txt")],
        ),
    )
