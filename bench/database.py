"""What the platform's database costs: `pgbench` on it and on a bare PostgreSQL of this machine, in turns."""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import yaml

from bench.bare_postgres import BINARIES, SETTINGS, Bare, bare, disks
from bench.failover import servers
from bench.results import ROOT, Result
from local import node, toolchain, verbs
from local.command import output
from local.database import Cluster
from local.problem import Problem
from tests.cluster.database import Database

_LIMIT = 0.9
_SECONDS, _ROUNDS, _SCALE, _TRANSACTIONS = 15, 3, 10, 1000
_STACK = "dev"
_TABLES = ", ".join(f"pgbench_{name}" for name in ("accounts", "branches", "tellers", "history"))
_CLIENTS = ("--client=8", "--jobs=2", "--no-vacuum", f"--time={_SECONDS}")
_INITIALIZE = ("--initialize", "--quiet", f"--scale={_SCALE}")
_TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


def pgbench() -> list[Result]:
    """Run pgbench on the platform's database and on a bare PostgreSQL with the same settings and limits, in turns.

    First with all servers, then with one: only then does the primary, like the bare one, share the processors with no replica.
    """
    database = servers()
    if not (BINARIES / "pgbench").exists():
        raise Problem(f"{BINARIES / 'pgbench'}: not installed; `make packages` installs it")
    try:
        with _Platform(database).tables() as platform:
            thousand = _best(
                {
                    "three servers, one replica waited for": lambda: platform.inside(""),
                    "three servers, none waited for": lambda: platform.inside("-c synchronous_commit=local"),
                    "as the first, over TLS": lambda: platform.outside("postgres-primary", 5432),
                    "as the first, over TLS and PgBouncer": lambda: platform.outside("pgbouncer", 6432),
                }
            )
        _scale(1)
        with _Platform(database).tables() as platform, disks() as (volume, plain):
            alike = platform.sql(SETTINGS), platform.uid
            with bare(volume, *alike) as same, bare(plain, *alike) as other:
                for server in (same, other):
                    server.run("pgbench", *_INITIALIZE, "postgres")
                alone = _best(
                    {
                        "bare, on a disk like the node's volumes": lambda: _bare(same),
                        "bare, on this machine's own": lambda: _bare(other),
                        "one server": lambda: platform.inside(""),
                    }
                )
    finally:
        _scale(3)
    base, _, platform_alone = alone.values()
    note = f"{base / platform_alone:.2f} of the throughput of a bare PostgreSQL, without TLS, pool and replicas"
    name = f"pgbench, {_TRANSACTIONS} transactions"
    return [Result(name, platform_alone, base / _LIMIT, alone | thousand, note)]


def _best(ways: Mapping[str, Callable[[], str]]) -> dict[str, float]:
    """Return the seconds of the best of some runs of each way, in turns: the machine is not as fast at all times."""
    best = dict.fromkeys(ways, 0.0)
    for _round in range(_ROUNDS):
        for name, way in ways.items():
            printed = way()
            found = _TPS.search(printed)
            if not found:
                raise Problem(f"pgbench said no tps: {printed}")
            best[name] = max(best[name], float(found[1]))
    return {name: _TRANSACTIONS / tps for name, tps in best.items()}


def _bare(server: Bare) -> str:
    server.run("psql", "--quiet", "--command=CHECKPOINT", "postgres")
    return server.run("pgbench", *_CLIENTS, "postgres")


def _scale(instances: int) -> None:
    """Bring the stack up with this many servers, those that come back with new volumes: their log may be gone."""
    engine = verbs.engine(verbs.Target(stack=_STACK, context=None))
    settings = yaml.safe_load((ROOT / f"Pulumi.{_STACK}.yaml").read_text())["config"]["platform:settings"]
    settings["postgres"] |= {"instances": instances, "synchronous": instances > 1}
    cluster = _cluster()
    replace(engine, config={**engine.config, "platform:settings": settings}).up()
    if instances == 1:
        cluster.run("wait", "--for=delete", "pod/postgres-1", "pod/postgres-2", "--timeout=120s")
        cluster.run("delete", "persistentvolumeclaim", "data-postgres-1", "data-postgres-2")


def _cluster() -> Cluster:
    kubectl = toolchain.build(lambda _text: None) / "kubectl"
    return Cluster([str(kubectl), f"--kubeconfig={node.kubeconfig}"], {})


class _Platform:
    """The primary of the stack on this machine's node."""

    def __init__(self, database: Database) -> None:
        self._cluster, self._database = _cluster(), database
        leading = self._cluster.pods("role=primary")
        if len(leading) != 1:
            raise Problem(f"{len(leading)} pods lead the database, not one; see docs/runbooks/postgres-failover.md")
        (self._pod,) = leading
        self.uid = str(self._cluster.get("pod", self._pod)["metadata"]["uid"])

    def sql(self, statement: str) -> str:
        return self._cluster.sql(self._pod, statement)

    @contextmanager
    def tables(self) -> "Generator[_Platform]":
        """Lend pgbench's tables in the database that is there."""
        self._cluster.inside(self._pod, "pgbench", "--username=postgres", *_INITIALIZE, "platform")
        try:
            self.sql(f"GRANT ALL ON {_TABLES} TO application")
            yield self
        finally:
            self.sql(f"DROP TABLE {_TABLES}")

    def inside(self, options: str) -> str:
        """Run it in the server's own container."""
        self.sql("CHECKPOINT")
        command = ["env", f"PGOPTIONS={options}", "pgbench", "--username=postgres", *_CLIENTS, "platform"]
        return self._cluster.inside(self._pod, *command)

    def outside(self, service: str, port: int) -> str:
        """Run it on this machine, as the application."""
        self.sql("CHECKPOINT")
        address = str(self._cluster.get("service", service)["spec"]["clusterIP"])
        given = self._database.parameters("application")
        where = {"PGHOST": address, "PGPORT": str(port), "PGSSLMODE": "require"}
        env = {**where, "PGUSER": given["user"], "PGPASSWORD": given["password"]}
        return output([BINARIES / "pgbench", *_CLIENTS, "platform"], env=env, timeout=_SECONDS + 60)
