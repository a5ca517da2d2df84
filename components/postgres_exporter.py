"""What the database, its archive, its backups and its drills are like, as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
from pulumi_kubernetes import core

from components.certificates import CA_FILE
from components.connections import Endpoint
from components.defaults import tcp_health
from components.labels import Identity
from components.namespaces import Namespace
from components.pods import PodArgs
from components.postgres import Postgres
from components.tier_settings import PostgresExporterSettings, Scale
from components.workload import Workload

_PORT = 9187
_USER = 65534
_FILES = "/etc/exporter"

# Beside what the exporter measures by itself, the state of the archive and the lag of the replicas among it. A metric's name is
# the query's and the column's: postgres_last_backup_timestamp_seconds, postgres_last_verified_restore_timestamp_seconds.
QUERIES = """\
postgres_last_backup:
  query: SELECT kind, extract(epoch FROM max(ended)) AS timestamp_seconds FROM platform.backups GROUP BY kind
  metrics:
    - kind: {usage: LABEL, description: full or diff}
    - timestamp_seconds: {usage: GAUGE, description: When the newest backup of the kind ended}
postgres_last_verified_restore:
  query: >-
    SELECT extract(epoch FROM ended) AS timestamp_seconds, recovery_point_seconds, recovery_time_seconds
    FROM platform.restores WHERE outcome = 'verified' ORDER BY id DESC LIMIT 1
  metrics:
    - timestamp_seconds: {usage: GAUGE, description: When a restore was last found to be right}
    - recovery_point_seconds: {usage: GAUGE, description: For how long the newest row was on the servers alone}
    - recovery_time_seconds: {usage: GAUGE, description: How long the restore took}
postgres_last_restore:
  query: >-
    SELECT extract(epoch FROM ended) AS timestamp_seconds, (outcome = 'verified')::int AS verified
    FROM platform.restores ORDER BY id DESC LIMIT 1
  metrics:
    - timestamp_seconds: {usage: GAUGE, description: When a restore was last tried}
    - verified: {usage: GAUGE, description: Whether it was found to be right}
"""


class PostgresExporter(pulumi.ComponentResource):
    """Answers with the metrics of the primary, whichever server it is. It may read statistics and records, and no row."""

    metrics: Endpoint
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: PostgresExporterSettings,
        *,
        namespace: Namespace,
        database: Postgres,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:PostgresExporter", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        identity = namespace.identity(name, "database")
        server = database.watched
        place = f"{server.host}:{server.port}/{server.env['POSTGRES_DATABASE']}"
        exporter = Workload(
            identity,
            PodArgs(
                image=args.image,
                ports={"metrics": _PORT},
                cpu=args.cpu,
                memory=args.memory,
                user=_USER,
                args=[f"--extend.query-path={_FILES}/queries.yaml"],
                files={_FILES: _queries(identity, child)},
                health=tcp_health(_PORT),
            ),
            Scale(min=1, max=1),
            talks_to=[
                replace(
                    server,
                    env={
                        "DATA_SOURCE_URI": f"{place}?sslmode=verify-full&sslrootcert={CA_FILE}",
                        "DATA_SOURCE_USER": server.env["POSTGRES_USERNAME"],
                    },
                    secrets={"DATA_SOURCE_PASS": server.secrets["POSTGRES_PASSWORD"]},
                )
            ],
            after=[database],
            opts=child,
        )
        self.metrics = exporter.endpoint
        self.connections = exporter.connections
        self.register_outputs({})


def _queries(identity: Identity, opts: pulumi.ResourceOptions) -> core.v1.VolumeArgs:
    made = core.v1.ConfigMap(
        f"{identity.name}-queries",
        metadata=identity.unnamed_metadata(),
        data={"queries.yaml": QUERIES},
        immutable=True,
        opts=opts,
    )
    return core.v1.VolumeArgs(name="queries", config_map=core.v1.ConfigMapVolumeSourceArgs(name=made.metadata.name))
