"""The platform's database as tests see it: who leads, what it acknowledges and when, and how to hurt it."""

import asyncio
import base64
import json
import os
import signal
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from tests.cluster.conftest import Node, eventually
from tests.conftest import parent

NAMESPACE = "data"
_ATTEMPT_SECONDS = 2.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Ack:
    """A write that was acknowledged: its number, when (monotonic seconds), by which server, on which timeline."""

    number: int
    at: float
    server: str
    timeline: str


class Database:
    """The servers, by pod name, and a way in for each login."""

    def __init__(self, node: Node) -> None:
        self.node = node
        secrets = node.get("secrets", f"--namespace={NAMESPACE}")["items"]
        (authority,) = [secret["data"]["ca.crt"] for secret in secrets if secret["metadata"]["name"] == "postgres-tls"]
        self._trust = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
        self._trust.check_hostname = False  # it is asked by its address
        told = [secret for secret in secrets if "POSTGRES_LOGINS" in secret.get("data", {})]
        (logins,) = [secret for secret in told if secret["metadata"]["name"].startswith("postgres-logins-")]
        given: dict[str, str] = json.loads(base64.b64decode(logins["data"]["POSTGRES_LOGINS"]))
        # After a rotation the login of a role has the rotation's number behind its name.
        self._logins = {name.rstrip("0123456789").rstrip("_"): (name, password) for name, password in given.items()}
        service = node.get("service", "postgres-primary", f"--namespace={NAMESPACE}")
        self.address = str(service["spec"]["clusterIP"])

    def pods(self, role: str | None = None) -> dict[str, Any]:
        """Return the running pods by name, or those of one role."""
        found = {pod["metadata"]["name"]: pod for pod in self.node.pods(NAMESPACE, "postgres")}
        return {name: pod for name, pod in found.items() if role in (None, pod["metadata"]["labels"].get("role"))}

    def primary(self) -> str:
        """Return the name of the one pod that leads, once there is one."""

        def leading() -> str:
            # One look must do: the label may be gone the moment after.
            found = list(self.pods("primary"))
            return found[0] if len(found) == 1 else ""

        return eventually("one pod leads", leading)

    def parameters(self, login: str, address: str | None = None) -> dict[str, Any]:
        """Return what psycopg needs to connect."""
        return {
            "host": address or self.address,
            "user": self._logins[login][0],
            "password": self._logins[login][1],
            "dbname": "platform",
            "connect_timeout": 2,
            "autocommit": True,
        }

    def query(self, statement: str, login: str = "application", address: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement on the primary, or on one server, and return its rows."""
        with psycopg.connect(**self.parameters(login, address)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @cached_property
    def _servers(self) -> int:
        return self.node.get("statefulset", "postgres", f"--namespace={NAMESPACE}")["spec"]["replicas"]

    def healthy(self) -> bool:
        """Whether one server leads and all others follow it closely, with all writes confirmed by one of them.

        All there are to be: one whose pod is gone is no member until it is back.
        """
        pods = list(self.pods().values())
        if len(pods) < self._servers:
            return False
        # What `patronictl list` says too, which takes half a second of a processor each time it is asked.
        url = f"https://{pods[0]['status']['podIP']}:8008/cluster"
        with urllib.request.urlopen(url, timeout=5, context=self._trust) as answer:
            members = json.loads(answer.read())["members"]
        # One that has just started has said nothing yet.
        said = sorted((str(member.get("role")), str(member.get("state"))) for member in members)
        return said == [("leader", "running"), *[("quorum_standby", "streaming")] * (self._servers - 1)]

    def processes(self, pod: str) -> list[int]:
        """Return the process ids, on this machine, of everything in a pod's container."""
        first = self.node.process(self.pods()[pod])
        namespace = Path(f"/proc/{first}/ns/pid").readlink()
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "ns/pid").readlink() == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue  # ended meanwhile
        return found

    def postmaster(self, pod: str) -> int:
        """Return the process id of the server itself, which all its other processes come from."""
        mine = {process: parent(process) for process in self.processes(pod) if _command(process) == "postgres"}
        (found,) = [process for process, parent in mine.items() if parent not in mine]
        return found


def _command(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()


@dataclass
class Writer:
    """Writes numbers, one after the other, to wherever `address` leads, and notes each that is acknowledged."""

    parameters: dict[str, Any]
    table: str
    acks: list[Ack] = field(default_factory=list[Ack])
    _stop: threading.Event = field(default_factory=threading.Event)
    _number: int = 0

    def run(self) -> None:
        """Write until told to stop."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """End after the current attempt."""
        self._stop.set()

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                connection = await asyncio.wait_for(
                    psycopg.AsyncConnection[tuple[Any, ...]].connect(**self.parameters), _ATTEMPT_SECONDS
                )
            except (psycopg.OperationalError, TimeoutError):
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            try:
                await self._write(connection)
            except (psycopg.Error, TimeoutError):
                pass  # of this number nobody knows whether it was written; it was not acknowledged
            finally:
                # Not politely: a frozen server would not answer the farewell either.
                connection.pgconn.finish()

    async def _write(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        statement = (
            f"INSERT INTO {self.table} (n) VALUES (%s) RETURNING "
            "host(inet_server_addr()), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
        ).encode()
        while not self._stop.is_set():
            self._number += 1
            cursor = await asyncio.wait_for(connection.execute(statement, [self._number]), _ATTEMPT_SECONDS)
            row = await cursor.fetchone()
            assert row
            self.acks.append(Ack(self._number, time.monotonic(), str(row[0]), str(row[1])))
            await asyncio.sleep(_PAUSE_SECONDS)

    def longest_gap(self, since: float = 0.0) -> float:
        """Return the longest time, in seconds, between two acknowledged writes, of those after a moment."""
        moments = [ack.at for ack in self.acks if ack.at >= since]
        return max(after - before for before, after in pairwise(moments))


@contextmanager
def writing(*writers: Writer) -> Generator[None]:
    """Let writers write meanwhile."""
    threads = [threading.Thread(target=writer.run, daemon=True) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for writer in writers:
            writer.stop()
        for thread in threads:
            thread.join(4 * _ATTEMPT_SECONDS)


@dataclass(frozen=True)
class Blow:
    """What was done to a server: how to tell that it has met it, and how to take it back."""

    landed: Callable[[], bool]
    undo: Callable[[], None] = lambda: None


def kill_postmaster(database: Database, pod: str) -> Blow:
    """Kill the server at once; Patroni is left to find out."""
    killed = database.postmaster(pod)
    os.kill(killed, signal.SIGKILL)
    return Blow(landed=lambda: killed not in database.processes(pod))


def delete_pod(database: Database, pod: str) -> Blow:
    """Delete the pod as a drain would: it goes on for the seconds of its preStop pause."""
    before = database.pods()[pod]["metadata"]["uid"]
    database.node.kubectl("delete", "pod", pod, f"--namespace={NAMESPACE}", "--wait=false")

    def landed() -> bool:
        listed = database.node.get("pods", f"--namespace={NAMESPACE}")["items"]
        return before not in [other["metadata"]["uid"] for other in listed]

    return Blow(landed)


def freeze(database: Database, pod: str) -> Blow:
    """Stop every process of the pod where it is."""
    stopped = database.processes(pod)
    for process in stopped:
        os.kill(process, signal.SIGSTOP)

    def thaw() -> None:
        for process in stopped:
            try:
                os.kill(process, signal.SIGCONT)
            except ProcessLookupError:
                continue  # its container was restarted

    return Blow(landed=lambda: True, undo=thaw)


FAULTS: dict[str, Callable[[Database, str], Blow]] = {
    "killed": kill_postmaster,
    "deleted": delete_pod,
    "frozen": freeze,
}


def fail_over(database: Database, fault: str, table: str) -> float:
    """Hurt the primary under writes, and return for how long none was acknowledged; fail if anything was lost or doubled.

    Beside the writer that goes where clients go, one writes to each server itself: at no time may two of them take writes.
    """
    eventually("all servers are well", database.healthy, 120)
    database.query(f"DROP TABLE IF EXISTS {table}", "migration")
    database.query(f"CREATE TABLE {table} (n bigint NOT NULL, at timestamptz DEFAULT clock_timestamp())", "migration")
    for pod in database.pods():
        database.query(f'CREATE TABLE IF NOT EXISTS "probe-{pod}" (n bigint)', "migration")
    client = Writer(database.parameters("application"), table)
    probes = [
        Writer(database.parameters("application", pod["status"]["podIP"]), f'"probe-{name}"')
        for name, pod in database.pods().items()
    ]
    with writing(client, *probes):
        eventually("writes are acknowledged", lambda: len(client.acks) > 20)
        blow = FAULTS[fault](database, database.primary())
        try:
            eventually("the blow has landed", blow.landed, 120)
            landed = time.monotonic()
            eventually("writes are acknowledged again", lambda: _since(client, landed) > 20, 120)
        finally:
            blow.undo()
        eventually("all servers are well again", database.healthy, 180)
        settled = len(client.acks)
        eventually("writes go on", lambda: len(client.acks) > settled + 20)
    _nothing_lost(database, client)
    _one_at_a_time([client, *probes])
    return client.longest_gap()


def _since(client: Writer, moment: float) -> int:
    """Return how many writes were acknowledged after a moment, not counting what may still have been under way."""
    return sum(ack.at > moment + 0.5 for ack in client.acks)


def _nothing_lost(database: Database, client: Writer) -> None:
    found = [int(row[0]) for row in database.query(f"SELECT n FROM {client.table} ORDER BY at, n")]
    acknowledged = {ack.number for ack in client.acks}
    kept = [number for number in found if number in acknowledged]
    assert acknowledged <= set(found), f"lost: {sorted(acknowledged - set(found))}"
    assert len(kept) == len(set(kept)), "an acknowledged write is there twice"
    assert kept == sorted(kept), "acknowledged writes are out of order"


def _one_at_a_time(writers: list[Writer]) -> None:
    """Fail if a server of an older timeline acknowledged a write after one of a newer did."""
    acks = sorted((ack for writer in writers for ack in writer.acks), key=lambda ack: ack.at)
    for before, after in pairwise(acks):
        assert before.timeline <= after.timeline, f"two primaries: {before} and then {after}"
