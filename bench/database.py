"""What the platform's database costs: `pgbench` on it and on a bare PostgreSQL of this machine, in turns."""

# ruff: noqa: S608 - what is put into a query are the constants of this file

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.results import Result
from local import node, toolchain
from local.command import output
from local.problem import Problem

_LIMIT = 0.9
_SECONDS, _ROUNDS, _SCALE = 10, 3, 10
_TRANSACTIONS = 1000
_BINARIES = Path("/usr/lib/postgresql/15/bin")
_MEMORY = Path("/sys/fs/cgroup/memory")
_CLIENTS = ("--client=8", "--jobs=2", "--no-vacuum", f"--time={_SECONDS}")
_TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
# Where files are, who is let in and what becomes of the log is each server's own; all else is made the same.
_OWN = [
    "archive_command",
    "archive_cleanup_command",
    "cluster_name",
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "ssl",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_key_file",
    "synchronous_standby_names",
    "unix_socket_directories",
    "hot_standby",
    "recovery_target_timeline",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
]


def pgbench() -> list[Result]:
    """Run pgbench on the platform's database and on a bare PostgreSQL with the same settings and memory, in turns."""
    if not node.kubeconfig.exists():
        raise Problem("there is no node: `make up` first, then measure")
    if not (_BINARIES / "pgbench").exists():
        raise Problem(f"{_BINARIES / 'pgbench'}: not installed; `make packages` installs it")
    platform = _Platform()
    with platform.tables(), _bare(platform) as bare:
        best = _best(
            {
                "bare, socket": bare.run,
                "platform, socket, no replica waited for": lambda: platform.inside("-c synchronous_commit=local"),
                "platform, socket": lambda: platform.inside(""),
                "platform, TLS": lambda: platform.outside("postgres-primary", 5432),
                "platform, TLS and PgBouncer": lambda: platform.outside("pgbouncer", 6432),
            }
        )
    thousand = {name: _TRANSACTIONS / tps for name, tps in best.items()}
    base, (_, alone, *_others) = thousand["bare, socket"], thousand.values()
    ratio = base / alone
    note = f"{ratio:.2f} of the throughput of a bare PostgreSQL, without TLS, pool and replicas"
    return [Result(f"pgbench, {_TRANSACTIONS} transactions", alone, base / _LIMIT, thousand, note)]


def _best(ways: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Return the most transactions per second of each way, measured in turns: the machine is not as fast at all times."""
    best = dict.fromkeys(ways, 0.0)
    for _round in range(_ROUNDS):
        for name, way in ways.items():
            best[name] = max(best[name], way())
    return best


def _tps(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> float:
    printed = output(command, env=env, timeout=_SECONDS + 60)
    found = _TPS.search(printed)
    if not found:
        raise Problem(f"pgbench said no tps: {printed}")
    return float(found[1])


class _Platform:
    """The primary of the stack on this machine's node."""

    def __init__(self) -> None:
        kubectl = toolchain.build(lambda _text: None) / "kubectl"
        self._kubectl = [str(kubectl), f"--kubeconfig={node.kubeconfig}", "--namespace=data"]
        pods = self._get("pods", "--selector=app.kubernetes.io/name=postgres,role=primary")["items"]
        if len(pods) != 1:
            raise Problem(f"{len(pods)} pods lead the database, not one; see docs/runbooks/postgres-failover.md")
        self._pod = str(pods[0]["metadata"]["name"])
        containers = {each["name"]: each for each in pods[0]["spec"]["containers"]}
        self.memory = str(containers["postgres"]["resources"]["limits"]["memory"])

    def _get(self, *what: str) -> Any:
        return json.loads(output([*self._kubectl, "get", *what, "--output=json"]))

    def _exec(self, *command: str) -> str:
        return output([*self._kubectl, "exec", self._pod, "--container=postgres", "--", *command], timeout=300)

    def query(self, statement: str) -> str:
        return self._exec("psql", "--username=postgres", "--dbname=platform", "-Atc", statement)

    @contextmanager
    def tables(self) -> Generator[None]:
        """Lend pgbench's tables in the database that is there."""
        self._exec("pgbench", "--username=postgres", "--initialize", "--quiet", f"--scale={_SCALE}", "platform")
        names = ", ".join(f"pgbench_{name}" for name in ("accounts", "branches", "tellers", "history"))
        try:
            self.query(f"GRANT ALL ON {names} TO application")
            yield
        finally:
            self.query(f"DROP TABLE {names}")

    def inside(self, options: str) -> float:
        """Run it in the server's own container."""
        command = ["env", f"PGOPTIONS={options}", "pgbench", "--username=postgres", *_CLIENTS, "platform"]
        return _tps([*self._kubectl, "exec", self._pod, "--container=postgres", "--", *command])

    def outside(self, service: str, port: int) -> float:
        """Run it on this machine, as the application."""
        address = str(self._get("service", service)["spec"]["clusterIP"])
        (logins,) = [each for each in self._get("secrets")["items"] if "POSTGRES_LOGINS" in each.get("data", {})]
        passwords: dict[str, str] = json.loads(base64.b64decode(logins["data"]["POSTGRES_LOGINS"]))
        where = {"PGHOST": address, "PGPORT": str(port), "PGUSER": "application", "PGSSLMODE": "require"}
        return _tps([_BINARIES / "pgbench", *_CLIENTS, "platform"], {**where, "PGPASSWORD": passwords["application"]})


class _Bare:
    """A PostgreSQL of this machine's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "env", "-C", str(folder)]

    def tool(self, name: str, *arguments: str) -> list[str | Path]:
        return [*self._as, _BINARIES / name, *arguments]

    def run(self) -> float:
        return _tps(self.tool("pgbench", f"--host={self.folder}", *_CLIENTS, "postgres"))


@contextmanager
def _bare(platform: _Platform) -> Generator[_Bare]:
    """Run one with the settings of the platform's, in as much memory, on this machine's own file system."""
    own = ", ".join(f"'{name}'" for name in _OWN)
    settings = platform.query(
        "SELECT format('%s = %L', name, current_setting(name)) FROM pg_settings "
        f"WHERE source IN ('configuration file', 'command line') AND name NOT IN ({own})"
    )
    # On a disk, as the node's volumes are: /tmp may be memory.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        shutil.chown(folder, "postgres", "postgres")
        bare = _Bare(folder)
        group = _MEMORY / "platform-bench"
        try:
            output(bare.tool("initdb", "--pgdata=data", "--data-checksums", "--locale=C.UTF-8", "--auth=trust"))
            more = (
                f"{settings}\nlisten_addresses = ''\nunix_socket_directories = '{folder}'\narchive_command = 'true'\n"
            )
            with (folder / "data" / "postgresql.conf").open("a") as file:
                file.write(more)
            group.mkdir(exist_ok=True)
            (group / "memory.limit_in_bytes").write_text(platform.memory.removesuffix("i"))
            limited = [
                "sh",
                "-c",
                'echo $$ > "$0" && exec "$@"',
                group / "cgroup.procs",
                *bare.tool("postgres", "-D", "data"),
            ]
            with (folder / "log").open("w") as log:
                server = subprocess.Popen(limited, stdout=log, stderr=subprocess.STDOUT)
            try:
                _ready(bare, server)
                output(
                    bare.tool(
                        "pgbench", f"--host={folder}", "--initialize", "--quiet", f"--scale={_SCALE}", "postgres"
                    ),
                    timeout=300,
                )
                yield bare
            finally:
                server.terminate()
                server.wait()
        finally:
            if group.exists():
                group.rmdir()


def _ready(bare: _Bare, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            output(bare.tool("pg_isready", "--quiet", f"--host={bare.folder}"))
        except Problem:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"the bare PostgreSQL does not start: {(bare.folder / 'log').read_text()}") from None
            time.sleep(0.2)
        else:
            return
