"""Every server of the data tier proves its name, takes nobody without TLS, and reads a renewed certificate while it serves."""

import base64
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.cluster.conftest import Node, eventually
from tests.cluster.database import Database

NAMESPACE = "data"


@dataclass(frozen=True)
class Server:
    """A Service in front of TLS, and what belongs to it: its workload, and what a client says before it starts TLS."""

    service: str
    port: int
    workload: str
    before: Sequence[str] = ()

    @property
    def host(self) -> str:
        return f"{self.service}.{NAMESPACE}.svc.cluster.local"


SERVERS = {
    server.service: server
    for server in (
        Server("postgres-primary", 5432, "postgres", ("-starttls", "postgres")),
        Server("postgres-replicas", 5432, "postgres", ("-starttls", "postgres")),
        Server("postgres-instances", 8008, "postgres"),
        Server("redis", 6379, "redis"),
        Server("memcached", 11211, "memcached"),
    )
}


def address(node: Node, server: Server) -> str:
    found = str(node.get("service", server.service, f"--namespace={NAMESPACE}")["spec"]["clusterIP"])
    return found if found != "None" else str(node.pods(NAMESPACE, server.workload)[0]["status"]["podIP"])


def serial(node: Node, server: Server, authority: Path, *options: str) -> str:
    """Return the serial number of the certificate that a server shows; fail if it does not prove its name with it."""
    where = ["-connect", f"{address(node, server)}:{server.port}", "-servername", server.host, *server.before]
    verify = ["-CAfile", str(authority), "-verify_hostname", server.host, "-verify_return_error", *options]
    try:
        shown = subprocess.run(
            ["openssl", "s_client", *where, *verify], input="", capture_output=True, text=True, check=True, timeout=5
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{server.host} does not answer") from error
    return subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=shown.stdout, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def authority(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file with the authority, from where a client in `app` has it."""
    file = tmp_path_factory.mktemp("authority") / "ca.crt"
    secret = node.get("secret", "trust", "--namespace=app")
    file.write_bytes(base64.b64decode(secret["data"]["ca.crt"]))
    return file


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_proves_its_name_and_no_other(node: Node, authority: Path, name: str) -> None:
    server = SERVERS[name]
    assert serial(node, server, authority).startswith("serial=")
    with pytest.raises(subprocess.CalledProcessError):
        serial(node, server, authority, "-verify_hostname", "another.example.com")


def test_the_database_takes_nobody_without_tls_or_with_an_old_one(node: Node, authority: Path) -> None:
    database = Database(node)
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(**database.parameters("application"), sslmode="disable")
    with pytest.raises(subprocess.CalledProcessError):
        serial(node, SERVERS["postgres-primary"], authority, "-tls1_2")


@pytest.mark.parametrize(("name", "word"), [("redis", b"PING\r\n"), ("memcached", b"version\r\n")])
def test_who_does_not_speak_tls_is_not_answered(node: Node, name: str, word: bytes) -> None:
    server = SERVERS[name]
    with socket.create_connection((address(node, server), server.port), timeout=5) as connection:
        connection.sendall(word)
        try:
            answer = connection.recv(64)
        except (ConnectionError, TimeoutError):
            answer = b""
    assert not answer.startswith((b"+PONG", b"VERSION", b"-"))


def test_clients_verify_whom_they_talk_to(node: Node) -> None:
    """The application's own connections are encrypted, and made by a configuration that names the authority."""
    query = "SELECT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'application'"
    rows = eventually("the application is connected", lambda: Database(node).query(query, "monitoring"))
    assert set(rows) == {(True, "TLSv1.3")}
    (pod, *_) = node.pods("app", "api")
    variables = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    files = {variables[f"{name}_CA_FILE"] for name in ("POSTGRES", "REDIS", "MEMCACHED")}
    assert files == {"/etc/trust/ca.crt"}
    seen = node.kubectl("exec", "--namespace=app", pod["metadata"]["name"], "--", "ls", "/etc/trust").split()
    assert seen == ["ca.crt"], "the key beside it is nobody's"


def test_a_renewed_certificate_is_read_while_the_servers_serve(node: Node, authority: Path) -> None:
    before = {name: serial(node, server, authority) for name, server in SERVERS.items()}
    lives = starts(node)
    for workload in {server.workload for server in SERVERS.values()}:
        node.kubectl("delete", "secret", f"{workload}-tls", f"--namespace={NAMESPACE}")

    def renewed() -> bool:
        # A pod that is changed is looked at by the kubelet at once, with its files; otherwise within about a minute.
        everyone = f"--selector=app.kubernetes.io/name in ({','.join(sorted({s.workload for s in SERVERS.values()}))})"
        looked = f"test/looked-at={time.monotonic()}"
        node.kubectl("annotate", "pods", everyone, f"--namespace={NAMESPACE}", looked, "--overwrite")
        return all(serial(node, server, authority) != before[name] for name, server in SERVERS.items())

    eventually("all servers show another certificate", renewed, 180)
    kept = {name: life for name, life in starts(node).items() if not name.startswith("memcached")}
    assert kept == {name: life for name, life in lives.items() if not name.startswith("memcached")}


def starts(node: Node) -> dict[str, str]:
    """Return when each container of the servers was started."""
    pods = [pod for workload in ("postgres", "redis", "memcached") for pod in node.pods(NAMESPACE, workload)]
    return {
        pod["metadata"]["name"]: str([each["state"] for each in pod["status"]["containerStatuses"]]) for pod in pods
    }
