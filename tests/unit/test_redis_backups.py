"""The objects that back the queue up and put a backup back, and what an upload is checked for."""

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from components import redis
from tests.render import ROOT, STACKS, Manifest, committed, render, stack_config
from tests.unit.test_stacks import pod

BACKUP, RESTORE = "data/redis-backup", "data/redis-restore"


def steps(manifest: Manifest) -> list[Manifest]:
    return [*pod(manifest)["initContainers"], *pod(manifest)["containers"]]


def plain(container: Manifest) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def secret(container: Manifest) -> set[str]:
    return {variable["name"] for variable in container["env"] if "valueFrom" in variable}


@pytest.mark.parametrize("stack", STACKS)
def test_the_queue_is_backed_up_at_its_times_and_a_restore_waits_for_a_person(stack: str) -> None:
    backup, restore = (committed(stack).of("CronJob")[name]["spec"] for name in (BACKUP, RESTORE))
    assert backup["schedule"] == "47 */6 * * *"
    assert "suspend" not in backup
    assert restore["suspend"] is True
    assert backup["concurrencyPolicy"] == restore["concurrencyPolicy"] == "Forbid"


def test_times_and_what_is_kept_are_settings() -> None:
    config = stack_config("dev")
    config["platform:settings"]["redis"]["backups"] = {"schedule": "5 4 * * *", "keep": 3}
    backup = render("dev", config).of("CronJob")[BACKUP]
    assert backup["spec"]["schedule"] == "5 4 * * *"
    assert plain(steps(backup)[-1])["BACKUPS_KEEP"] == "3"


@pytest.mark.usefixtures("named_accounts")
def test_each_step_knows_what_it_needs_and_no_more() -> None:
    jobs = render("dev", stack_config("dev")).of("CronJob")
    dump, store, expire = steps(jobs[BACKUP])
    fetch, load = steps(jobs[RESTORE])
    queue, objects, key = {"REDIS_PASSWORD"}, {"OBJECTS_KEY_ID", "OBJECTS_KEY"}, {"BACKUPS_ENCRYPTION_KEY"}
    assert [secret(step) for step in (dump, store, expire)] == [queue, objects | key, objects]
    assert [secret(step) for step in (fetch, load)] == [objects | key, queue]
    assert [plain(step).get("ACCOUNT") for step in (store, expire, fetch)] == ["backups", "backups-keeper", "backups"]
    assert [plain(step)["REDIS_USERNAME"] for step in (dump, load)] == ["backups", "restorer"]
    assert {plain(step)["BACKUPS_PREFIX"] for step in (store, expire, fetch)} == {"redis/"}


@pytest.mark.parametrize(("primary", "replica"), [(0, 1), (1, 0)])
def test_it_is_the_replica_that_is_copied_and_the_primary_that_is_restored(primary: int, replica: int) -> None:
    config = stack_config("dev")
    config["platform:settings"]["redis"]["primary"] = primary
    jobs = render("dev", config).of("CronJob")
    assert plain(steps(jobs[BACKUP])[0])["REDIS_HOST"] == f"redis-{replica}.redis-instances.data.svc.cluster.local"
    assert plain(steps(jobs[RESTORE])[-1])["REDIS_HOST"] == "redis.data.svc.cluster.local"


@pytest.mark.parametrize("stack", STACKS)
def test_a_dump_is_read_by_the_redis_that_wrote_it_and_has_room(stack: str) -> None:
    (server,) = pod(committed(stack).of("StatefulSet")["data/redis"])["containers"]
    for name, of_redis in ((BACKUP, 0), (RESTORE, -1)):
        manifest = committed(stack).of("CronJob")[name]
        assert steps(manifest)[of_redis]["image"] == server["image"]
        (claim,) = [volume["ephemeral"] for volume in pod(manifest)["volumes"] if "ephemeral" in volume]
        size = int(claim["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"])
        maxmemory = int(server["args"][-1].partition("--maxmemory ")[2].split()[0])
        assert size > 2 * maxmemory, "the dump, and the same encrypted"
        for container in steps(manifest):
            assert {"/data", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_other_accounts_restart_the_queue_so_that_it_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers read the file of accounts when they start; new passwords they are told of, new accounts they are not."""
    before = pod(committed("dev").of("StatefulSet")["data/redis"])
    monkeypatch.setitem(redis._RIGHTS, "another", "-@all")
    after = pod(render("dev", stack_config("dev")).of("StatefulSet")["data/redis"])
    assert before["volumes"] != after["volumes"]


@pytest.fixture(scope="module")
def encrypted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("encrypted", ROOT / "images" / "buckets" / "encrypted.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Lying:
    """A store that says it has what it was given, and keeps what `kept` makes of it."""

    def __init__(self, kept: Any) -> None:
        self._kept, self._content = kept, b""

    def upload_file(self, file: str, _bucket: str, _key: str, **_options: Any) -> None:
        self._content = self._kept(Path(file).read_bytes())

    def get_object(self, **_which: str) -> dict[str, Any]:
        return {"Body": Body(self._content)}


class Body(io.BytesIO):
    """What the store answers."""

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        return iter(lambda: self.read(size), b"")


def shortened(content: bytes) -> bytes:
    return content[:-1]


def changed(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (shortened, r"redis/\S+: \d+ bytes are there, of \d+"),
        (changed, "what is there is not what was put there"),
    ],
)
def test_an_upload_that_is_not_there_as_it_was_sent_is_an_error(
    encrypted: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Any, why: str
) -> None:
    monkeypatch.setenv("BACKUPS_ENCRYPTION_KEY", "key")
    file = tmp_path / "dump.rdb"
    file.write_bytes(b"content" * 1000)
    shelf = encrypted.Shelf(s3=Lying(kept), bucket="backups", prefix="redis/")
    with pytest.raises(SystemExit, match=why):
        encrypted.store(shelf, file, "key")


def test_an_upload_that_is_there_is_none(
    encrypted: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BACKUPS_ENCRYPTION_KEY", "key")
    file = tmp_path / "dump.rdb"
    file.write_bytes(b"content" * 1000)
    encrypted.store(encrypted.Shelf(s3=Lying(bytes), bucket="backups", prefix="redis/"), file, "key")
    assert "stored and read back" in capsys.readouterr().out
