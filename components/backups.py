"""The database's backups, and the restores that prove them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
from pulumi_kubernetes import core

from components.certificates import certificate
from components.connections import Peer, connect, secret_env
from components.jobs import cron_job, job
from components.labels import Identity
from components.namespaces import Namespace
from components.object_store import ObjectStore
from components.pods import PodArgs, service_account
from components.postgres import USER, Postgres
from components.recovery import recovers
from components.tier_settings import PostgresSettings

_TLS = "/etc/backups"
_HOURS = 12


class Backups(pulumi.ComponentResource):
    """Full and differential backups of the database at their times, and each day a restore of the newest, which is checked.

    The first backup is taken as soon as the database is there. Only what takes backups has the account of the store that may
    remove what is old.
    """

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: PostgresSettings,
        *,
        namespace: Namespace,
        database: Postgres,
        store: ObjectStore,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Backups", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        times = args.backups
        pod = PodArgs(image=args.image, cpu="50m", memory="128Mi", user=USER, health=None)

        def connected(identity: Identity, *peers: Peer) -> PodArgs:
            found = connect(identity, peers, child)
            self.connections = [*self.connections, *found.rows]
            key = secret_env(identity, identity.name, {"BACKUPS_ENCRYPTION_KEY": store.encryption_key}, child)
            return replace(pod, env=[*found.env, *key], files=found.files)

        self.connections = []
        taker = namespace.identity(f"{name}-backup", "database")
        taking = connected(taker, database.recorder, database.files, store.account("backups-keeper"))
        taking = replace(
            taking,
            env=[
                *taking.env,
                core.v1.EnvVarArgs(name="BACKUPS_TLS", value=_TLS),
                core.v1.EnvVarArgs(name="BACKUPS_KEEP_FULL", value=str(times.keep_full)),
            ],
            files={**taking.files, _TLS: certificate(taker, [taker.host(taker.name)], child, usage="client auth")},
        )

        def take(kind: str) -> PodArgs:
            return replace(taking, args=["python", "/opt/platform/take.py", kind])

        first = job(self, taker, take("first"), [database])
        account = first.spec.template.spec.service_account_name
        for kind, schedule in (("full", times.full), ("differential", times.differential)):
            cron_job(
                f"{taker.name}-{kind}",
                taker,
                take(kind),
                account,
                schedule=schedule,
                hours=_HOURS,
                annotations=recovers(name, "backup"),
                opts=child,
            )
        driller = namespace.identity(f"{name}-drill", "database")
        drilling = replace(
            connected(driller, database.recorder, store.account("backups")),
            args=["python", "/opt/platform/drill.py"],
            memory=args.memory,
            scratch=args.volume,
        )
        its_account = service_account(driller, child)
        ready = pulumi.ResourceOptions(parent=self, depends_on=[store])
        cron_job(
            driller.name,
            driller,
            drilling,
            its_account,
            schedule=times.drill,
            hours=_HOURS,
            annotations=recovers(name, "drill"),
            opts=ready,
        )
        self.register_outputs({})
