"""The queue's backups, proven by restores: real servers over TLS, the real object store, the steps of the rendered Jobs."""

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.cluster.test_runbooks import RUNBOOKS
from tests.processes import eventually, program
from tests.servers.gateway import OWNER, Gateway
from tests.servers.queue_servers import KEY, Queue

PLANTED = "planted-plaintext-"
STREAMS = ("jobs:scraping", "jobs:processing")
ENTRIES = 500


@pytest.fixture(scope="module")
def queue(gateway: Gateway) -> Generator[Queue]:
    """Lend a queue of two streams, of which a worker has taken some entries and not acknowledged all."""
    # A short path: a socket's may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="queue-") as folder:
        found = Queue(Path(folder), gateway)
        with found.running():
            client = found.client()
            for stream in STREAMS:
                for number in range(ENTRIES):
                    client.xadd(stream, {"job": f"{PLANTED}{number}"})
                client.xgroup_create(stream, "workers", "0")
                taken = client.xreadgroup("workers", "one", {stream: ">"}, count=10)
                client.xack(stream, "workers", taken[0][1][0][0])
            assert client.wait(1, 5000) == 1
            yield found


@pytest.fixture
def backup(queue: Queue) -> Generator[Path]:
    """Take a backup, and lend its file; whatever a test does to it goes with it."""
    taken = queue.run("redis-backup")
    assert taken.returncode == 0, taken.stderr
    (name,) = re.findall(r"^redis/(\S+): .*, stored", taken.stdout, re.MULTILINE)
    yield queue.objects / name
    queue.gateway.client(OWNER).delete_object(Bucket="backups", Key=f"redis/{name}")


def content(queue: Queue) -> dict[str, Any]:
    """Return all there is: entries, and what groups have not acknowledged.

    A replica does not count what a group has read, so neither that count nor the lag made of it is compared.
    """
    client, found = queue.client(), dict[str, Any]()
    for stream in sorted(client.keys("*")):
        groups = {
            group["name"]: (group["last-delivered-id"], group["pending"]) for group in client.xinfo_groups(stream)
        }
        pending = [
            (group, entry["message_id"], entry["consumer"], entry["times_delivered"])
            for group in groups
            for entry in client.xpending_range(stream, group, "-", "+", ENTRIES)
        ]
        found[stream] = (client.xrange(stream), groups, pending)
    return found


def lines(start: str) -> list[str]:
    """Return the runbook's commands that begin so."""
    text = (RUNBOOKS / "redis-restore.md").read_text().splitlines()
    return [line.strip() for line in text if line.startswith(f"    {start}")]


def test_the_jobs_of_the_runbook_bring_every_entry_back(queue: Queue) -> None:
    before = content(queue)
    assert {stream: len(entries) for stream, (entries, _, _) in before.items()} == dict.fromkeys(STREAMS, ENTRIES)
    assert {len(pending) for _, _, pending in before.values()} == {9}
    made = [shlex.split(line) for line in lines("kubectl create job") if "|" not in line]
    backup, restore = (word.partition("/")[2] for words in made for word in words if word.startswith("--from="))
    taken = queue.run(backup)
    assert taken.returncode == 0, taken.stderr
    assert "stored and read back" in taken.stdout
    queue.client().flushall()
    restored = queue.run(restore)
    assert restored.returncode == 0, restored.stderr
    assert f"jobs:scraping: restored, entries: {ENTRIES}" in restored.stdout
    assert content(queue) == before
    eventually(lambda: queue.client(1).xlen("jobs:processing") == ENTRIES, "the replica has them too")


def test_a_restore_replaces_what_is_in_a_stream_and_leaves_the_others(queue: Queue, backup: Path) -> None:
    client = queue.client()
    client.xadd(STREAMS[0], {"job": "later"})
    client.xadd("jobs:other", {"job": "stays"})
    restored = queue.run("redis-restore", BACKUP=backup.name)
    assert restored.returncode == 0, restored.stderr
    assert client.xlen(STREAMS[0]) == ENTRIES
    assert client.xlen("jobs:other") == 1
    client.delete("jobs:other")


def test_nothing_in_the_bucket_can_be_read_without_the_key(queue: Queue, backup: Path) -> None:
    assert holding(PLANTED, queue.folder), "it is to be found where it is not encrypted"
    assert backup.stat().st_size > 1000
    assert holding(PLANTED, queue.gateway.folder) == []
    assert holding(KEY, queue.gateway.folder) == []


def holding(text: str, folder: Path) -> list[str]:
    command = ["grep", "--recursive", "--text", "--files-with-matches", "--", text, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


def test_another_key_is_refused(queue: Queue, backup: Path) -> None:
    refused(queue, "encrypted with another key", BACKUP=backup.name, BACKUPS_ENCRYPTION_KEY="another key altogether")


@pytest.mark.parametrize("left", [0, 10, 64, -64, -1])
def test_a_truncated_object_is_refused(queue: Queue, backup: Path, left: int) -> None:
    os.truncate(backup, left if left >= 0 else backup.stat().st_size + left)
    refused(queue, f"redis/{backup.name}: damaged or cut short", BACKUP=backup.name)


def test_a_changed_byte_is_refused(queue: Queue, backup: Path) -> None:
    with backup.open("r+b") as file:
        file.seek(backup.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    refused(queue, "damaged or cut short", BACKUP=backup.name)


def test_a_backup_under_the_name_of_another_is_refused(queue: Queue, backup: Path) -> None:
    queue.gateway.client("backups").upload_file(str(backup), "backups", "redis/20990101T000000Z.aes")
    try:
        refused(queue, "redis/20990101T000000Z.aes: encrypted with another key, or another backup's")
    finally:
        queue.gateway.client(OWNER).delete_object(Bucket="backups", Key="redis/20990101T000000Z.aes")


def test_a_backup_that_is_not_there_is_refused_with_those_that_are(queue: Queue, backup: Path) -> None:
    refused(queue, f"there is no such backup; there are: .*{backup.name}", BACKUP="20000101T000000Z.aes")


def refused(queue: Queue, why: str, **told: str) -> None:
    """Try a restore that must fail, and change nothing."""
    before = content(queue)
    tried = queue.run("redis-restore", **told)
    assert tried.returncode != 0, tried.stdout
    assert re.search(why, tried.stderr), tried.stderr
    assert content(queue) == before


# Redis refuses a piece over its limit and hangs up at once. Whether the client reads why, has its connection reset or is
# ended by writing to it is a race between the two; how large the piece was is always said.
@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (
            "proto-max-bulk-len",
            r"large: not restored, \d{7} bytes: \S.*$",
        ),
        ("maxmemory", r"\w+: not restored, \d+ bytes: OOM command not allowed"),
    ],
)
def test_a_stream_that_does_not_fit_is_named(queue: Queue, limit: str, why: str) -> None:
    client = queue.client()
    for _entry in range(30):
        client.xadd("jobs:large", {"job": os.urandom(50_000).hex()})
    assert client.wait(1, 5000) == 1
    assert queue.run("redis-backup").returncode == 0
    client.delete("jobs:large")
    before = client.config_get(limit)
    client.config_set(limit, "1mb")
    try:
        tried = queue.run("redis-restore")
    finally:
        client.config_set(limit, before[limit])
    assert tried.returncode != 0
    assert re.search(f"^jobs:{why}", tried.stderr, re.MULTILINE), tried.stderr


def test_a_dump_that_is_not_whole_is_not_stored(queue: Queue, tmp_path: Path) -> None:
    there = sorted(queue.objects.glob("*"))
    short = tmp_path / "redis-cli"
    real = program("redis-cli", "redis-tools")
    short.write_text(f"""#!/bin/sh
{real} "$@" || exit
for last in "$@"; do :; done
case "$last" in *.rdb) truncate --size=-20 "$last" ;; esac
""")
    short.chmod(0o755)
    tried = queue.run("redis-backup", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert tried.returncode != 0
    assert "RDB ERROR DETECTED" in tried.stdout
    assert sorted(queue.objects.glob("*")) == there


def test_a_replica_that_does_not_follow_is_not_backed_up(queue: Queue) -> None:
    replica = queue.client(1)
    replica.replicaof("localhost", "1")
    try:
        tried = queue.run("redis-backup")
    finally:
        replica.replicaof("localhost", str(queue.ports[0]))
        eventually(lambda: replica.info("replication")["master_link_status"] == "up", "it follows again", 30)
    assert tried.returncode != 0
    assert "NOMASTERLINK" in tried.stderr


def test_a_wrong_password_is_said_and_ends_it(queue: Queue, tmp_path: Path) -> None:
    sleepless = tmp_path / "sleep"
    sleepless.write_text("#!/bin/sh\n")
    sleepless.chmod(0o755)
    tried = queue.run("redis-backup", REDIS_PASSWORD="another", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert tried.returncode != 0
    assert "WRONGPASS" in tried.stderr


def test_only_the_newest_stay_and_of_what_is_removed_the_version(queue: Queue, backup: Path) -> None:
    adder, owner = queue.gateway.client("backups"), queue.gateway.client(OWNER)
    others = ("redis/notes", "redis-like/20000101T000000Z.aes", "postgres/backup")
    olds = [f"redis/2000010{day}T000000Z.aes" for day in range(1, 5)]
    for name in (*others, *olds):
        adder.put_object(Bucket="backups", Key=name, Body=b"content")
    done = queue.run("redis-backup", BACKUPS_KEEP="3")
    assert done.returncode == 0, done.stderr
    left = {item["Key"] for item in adder.list_objects_v2(Bucket="backups")["Contents"]}
    kept = [name for name in sorted(left) if name.startswith("redis/2")]
    assert len(kept) == 3
    assert f"redis/{backup.name}" in kept
    assert set(others) <= left
    assert [line.partition(":")[0] for line in done.stdout.splitlines() if ": kept, " in line] == kept
    versions = owner.list_object_versions(Bucket="backups", Prefix="redis/2000")["Versions"]
    assert [version["Key"] for version in versions] == olds, "a locked bucket keeps them"


def test_who_copies_the_queue_can_do_nothing_else_and_who_restores_reads_nothing(queue: Queue) -> None:
    client = queue.client()
    for user in ("backups", "restorer"):
        for command in ("get jobs:a", "xrange jobs:a - +", "dump jobs:a", "flushall", "config get *", "acl list"):
            assert "no permissions" in str(client.acl_dryrun(user, *command.split())), (user, command)
    assert "no permissions" in str(client.acl_dryrun("backups", "restore", "jobs:a", "0", "payload"))
    assert "no permissions" in str(client.acl_dryrun("restorer", "restore", "other", "0", "payload"))
    assert "no permissions" in str(client.acl_dryrun("restorer", "sync"))


def test_a_backup_is_read_without_the_platform(backup: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="queue-") as folder:
        (Path(folder) / "NAME").write_bytes(backup.read_bytes())
        environment = {"PATH": os.environ["PATH"], "BACKUPS_ENCRYPTION_KEY": KEY}
        commands = [*lines("head "), *lines("redis-check-rdb "), *lines("redis-server ")]
        assert len(commands) == 3
        for command in commands:
            subprocess.run(["sh", "-c", command], cwd=folder, env=environment, check=True, capture_output=True)
        with redis.Redis(unix_socket_path=f"{folder}/redis.sock", protocol=2) as read:
            eventually(lambda: answers(read), "it is loaded")
            assert read.xlen(STREAMS[0]) == ENTRIES
            read.shutdown(nosave=True)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
