"""A PostgreSQL of this machine's own, with the settings and within the limits of the platform's, to compare it with."""

# ruff: noqa: S608 - what is put into a query are the constants of this file

import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.command import output
from local.problem import Problem

BINARIES = Path("/usr/lib/postgresql/15/bin")

_DISK = 4 << 30
_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = {"cpu": "cpu.shares", "memory": "memory.limit_in_bytes"}
_USER = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
# Where files are and who is let in is each server's own; all else is made the same.
_OWN = (
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
)
SETTINGS = (
    "SELECT format('%s = %L', name, current_setting(name)) FROM pg_settings "
    f"WHERE source IN ('configuration file', 'command line') AND name NOT IN {_OWN}"
)
"""What has a server print the settings that the bare one is given too."""


@dataclass(frozen=True)
class Bare:
    """The server, and its clients, which share its limits as they do in the platform's container."""

    folder: Path
    groups: Sequence[Path]

    def command(self, name: str, *arguments: str) -> list[str | Path]:
        """Return one of PostgreSQL's programs, run by the server's user within its limits."""
        joined = "".join(f"echo $$ >{group}/cgroup.procs; " for group in self.groups)
        inside = ["env", "-C", self.folder, BINARIES / name, *arguments]
        return ["sh", "-euc", f'{joined}exec "$@"', "sh", *_USER, *inside]

    def run(self, name: str, *arguments: str) -> str:
        """Return what a client prints that comes in through the socket."""
        return output(self.command(name, f"--host={self.folder}", *arguments), timeout=300)


@contextmanager
def bare(folder: Path, settings: str, pod: str) -> Generator[Bare]:
    """Run one in a folder, with these settings, and with the share and the memory of the pod with this uid.

    Its log is compressed, encrypted and archived like the platform's, to a folder.
    """
    shutil.chown(folder, "postgres", "postgres")
    with _limits(pod, folder.name) as groups:
        server = Bare(folder, groups)
        initdb = ("initdb", "--pgdata=data", "--data-checksums", "--locale=C.UTF-8", "--auth=trust")
        output(server.command(*initdb))
        own = ["listen_addresses = ''", f"unix_socket_directories = '{folder}'"]
        archive = _archive(server)
        own.append(f"archive_command = '{' '.join(archive)} archive-push %p'")
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write("\n".join([settings, *own, ""]))
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(server.command("postgres", "-D", "data"), stdout=log, stderr=subprocess.STDOUT)
            try:
                _await(server, process)
                output([*_USER, *archive, "stanza-create"])
                yield server
            finally:
                process.terminate()
                process.wait()


@contextmanager
def disks() -> Generator[tuple[Path, Path]]:
    """Lend two folders of this machine's disk: one in XFS in a file, as the node's volumes are, and one without that between."""
    # /tmp may be memory.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        top = Path(name)
        top.chmod(0o755)
        image, volume, plain = top / "image", top / "volume", top / "plain"
        volume.mkdir()
        plain.mkdir()
        with image.open("wb") as file:
            file.truncate(_DISK)
        output(["mkfs.xfs", "-q", image])
        output(["mount", "-o", "loop", image, volume])
        try:
            yield volume, plain
        finally:
            output(["umount", volume])


@contextmanager
def _limits(pod: str, name: str) -> Generator[Sequence[Path]]:
    """Lend control groups beside those of a pod, with the same values."""
    made: list[Path] = []
    try:
        for controller, limit in _LIMITS.items():
            top = _CGROUPS / controller
            theirs = next(top.glob(f"kubepods/**/pod{pod}"), None)
            if theirs is None:
                raise Problem(f"{top}: no control group of pod {pod}; the comparison needs version 1 of control groups")
            ours = theirs.with_name(f"platform-bench-{name}")
            ours.mkdir(exist_ok=True)
            made.append(ours)
            (ours / limit).write_text((theirs / limit).read_text())
        yield made
    finally:
        for group in made:
            group.rmdir()


def _archive(server: Bare) -> Sequence[str]:
    """Return pgBackRest with the platform's options (images/postgres/backup-environment.sh), and a folder for a bucket."""
    configuration = f"""\
[postgres]
pg1-path={server.folder}/data
pg1-socket-path={server.folder}
[global]
repo1-path={server.folder}/archive
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=of-the-comparison-alone
compress-type=zst
lock-path={server.folder}/lock
log-level-file=off
log-level-console=warn
"""
    file = server.folder / "pgbackrest.conf"
    file.write_text(configuration)
    return ["pgbackrest", f"--config={file}", "--stanza=postgres"]


def _await(server: Bare, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            server.run("pg_isready", "--quiet")
        except Problem:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"the bare PostgreSQL does not start: {(server.folder / 'log').read_text()}") from None
            time.sleep(0.2)
        else:
            return
