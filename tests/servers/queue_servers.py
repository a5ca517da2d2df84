"""The queue's two servers as the platform starts them, over TLS, and the steps of its backups: all on loopback."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import redis

from components.redis import _CONFIGURATION, _RIGHTS, _accounts
from tests.processes import eventually, free_port
from tests.render import ROOT, Manifest, committed
from tests.servers.gateway import Gateway, certify
from tests.unit.test_stacks import pod

KEY = "an encryption key only for this test"
PASSWORDS = {user: f"the-password-of-{user}" for user in _RIGHTS}


@dataclass
class Queue:
    """A primary and its replica, and the object store beside them."""

    folder: Path
    gateway: Gateway
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))

    @property
    def trust(self) -> Path:
        return self.folder / "tls" / "tls.crt"

    @property
    def objects(self) -> Path:
        """Where the gateway keeps what is in the bucket under `redis/`."""
        return self.gateway.folder / "data" / "objects" / "backups" / "redis"

    def client(self, server: int = 0) -> Any:
        """Return the operator's client of one of the servers, by its number."""
        port, password = self.ports[server], PASSWORDS["operator"]
        options = {"ssl": True, "ssl_ca_certs": str(self.trust), "decode_responses": True, "protocol": 2}
        return cast("Any", redis.Redis)(host="localhost", port=port, username="operator", password=password, **options)

    @contextmanager
    def running(self) -> Generator[None]:
        """Run both servers, the second one following the first."""
        certify(self.folder / "tls", 1)
        shutil.copy(self.trust, self.folder / "tls" / "ca.crt")
        configuration = self.folder / "configuration"
        configuration.mkdir()
        (configuration / "users.acl").write_text(_accounts(PASSWORDS))
        text = _CONFIGURATION.format(replica=PASSWORDS["replica"])
        (configuration / "redis.conf").write_text(text.replace("/etc/redis", str(configuration)))
        (configuration / "operator").write_text(PASSWORDS["operator"])
        servers = [self._start(number) for number in (0, 1)]
        try:
            eventually(lambda: self._follows(servers), "the replica follows", 30)
            self.client(1).config_set("repl-diskless-sync-delay", 0)  # it waits for others to copy at the same time
            yield
        finally:
            for server in servers:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        (container,) = pod(committed("dev").of("StatefulSet")["data/redis"])["containers"]
        data = self.folder / f"redis-{number}"
        data.mkdir()
        told = {
            "--tls-port 6379": f"--tls-port {self.ports[number]} --bind 127.0.0.1",
            "redis-0.redis-instances.data.svc.cluster.local 6379": f"localhost {self.ports[0]}",
            "/etc/redis": str(self.folder / "configuration"),
            "/etc/tls": str(self.folder / "tls"),
            "--dir /data": f"--dir {data}",
        }
        command = [_replaced(word, told) for word in container["args"]]
        environment = {"PATH": os.environ["PATH"], "HOSTNAME": f"redis-{number}"}
        with (self.folder / f"redis-{number}.log").open("ab") as output:
            return subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _follows(self, servers: list[subprocess.Popen[bytes]]) -> bool:
        logs = [(self.folder / f"redis-{number}.log").read_text() for number in (0, 1)]
        assert [server.poll() for server in servers] == [None, None], logs
        try:
            return self.client(1).info("replication").get("master_link_status") == "up"
        except redis.RedisError:
            return False

    def run(self, job: str, **told: str) -> subprocess.CompletedProcess[str]:
        """Run the containers of a CronJob one after the other, until one fails; return the last one that ran, with all that was printed."""
        spec = pod(committed("dev").of("CronJob")[f"data/{job}"])
        scratch = self.folder / "scratch"
        scratch.mkdir()
        try:
            done = subprocess.CompletedProcess[str]([], 0, "", "")
            for container in [*spec["initContainers"], *spec["containers"]]:
                if done.returncode == 0:
                    ran = self.step(container, scratch, **told)
                    done = subprocess.CompletedProcess(ran.args, ran.returncode, done.stdout + ran.stdout, ran.stderr)
            return done
        finally:
            shutil.rmtree(scratch)

    def step(self, container: Manifest, scratch: Path, **told: str) -> subprocess.CompletedProcess[str]:
        """Run one container's command, with the environment that is its own."""
        places = {"/data": str(scratch), "/opt/buckets": str(ROOT / "images" / "buckets")}
        command = [_replaced(word, places) for word in container["args"]]
        if command[0] == "python":
            command[0] = sys.executable
        environment = {"PATH": os.environ["PATH"]}
        environment |= {variable["name"]: self._value(container, variable) for variable in container["env"]}
        return subprocess.run(command, env=environment | told, capture_output=True, text=True, check=False)

    def _value(self, container: Manifest, variable: Mapping[str, Any]) -> str:
        name, given = variable["name"], {each["name"]: each.get("value") for each in container["env"]}
        account = "backups-keeper" if "expire" in container["args"] else "backups"
        user = given.get("REDIS_USERNAME", "")
        here = {
            "REDIS_HOST": "localhost",
            "REDIS_PORT": str(self.ports[1 if user == "backups" else 0]),
            "REDIS_CA_FILE": str(self.trust),
            "REDIS_PASSWORD": PASSWORDS.get(user, ""),
            "OBJECTS_ENDPOINT": f"localhost:{self.gateway.port}",
            "OBJECTS_CA_FILE": str(self.gateway.trust),
            "OBJECTS_KEY_ID": account,
            "OBJECTS_KEY": self.gateway.keys[account],
            "BACKUPS_ENCRYPTION_KEY": KEY,
        }
        return here.get(name) or str(variable["value"])


def _replaced(word: str, by: Mapping[str, str]) -> str:
    for old, new in by.items():
        word = word.replace(old, new)
    return word
