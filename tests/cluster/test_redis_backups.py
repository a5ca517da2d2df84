"""The queue's backups on the real node, by the runbook's own commands: one is taken, and one is put back."""

from tests.cluster.conftest import Platform
from tests.cluster.test_queue import ask
from tests.cluster.test_runbooks import commands

SCRATCH = "jobs:backup-test"
NOW = ("redis-backup-now", "redis-restore-now")


def test_the_runbook_takes_a_backup_and_puts_one_back(platform: Platform) -> None:
    node = platform.node
    ask(node, "redis-0", "xadd", SCRATCH, "*", "word", "kept")
    assert ask(node, "redis-0", "wait", "1", "5000") == "1"
    printed: dict[str, str] = {}
    try:
        for command in (line for line in commands("redis-restore") if "|" not in line):
            if "create job" in command and "restore" in command:
                ask(node, "redis-0", "del", SCRATCH)
            words = command.split()
            printed[" ".join(words[1:2] + words[-1:])] = node.kubectl(*words[1:])
    finally:
        node.kubectl("delete", "job", "--namespace=data", "--ignore-not-found", *NOW)
    assert ": kept, " in printed["logs job/redis-backup-now"]
    assert f"{SCRATCH}: restored, entries: 1" in printed["logs --all-containers"]
    assert "kept" in ask(node, "redis-0", "xrange", SCRATCH, "-", "+")
    ask(node, "redis-0", "del", SCRATCH)


def test_another_backup_can_be_named(platform: Platform) -> None:
    """Up to what the API server is sent: it is told which in the container that fetches."""
    (line,) = [line for line in commands("redis-restore") if "|" in line]
    made, told, _create = line.split(" | ")
    changed = platform.node.kubectl(*told.split()[1:], stdin=platform.node.kubectl(*made.split()[1:]))
    assert "value: 20261126T010000Z.aes" in changed
    assert changed.count("name: BACKUP\n") == 1
