"""What the machine was like before the node came, so that `down` can leave it like that."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.node import procfs
from local.node.layout import BEFORE
from local.node.pki import write_private

# Kernel settings that the node needs, and those (None) that the kubelet and kube-proxy set by themselves.
SETTINGS: Mapping[str, str | None] = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/ipv4/conf/all/route_localnet": None,
    "vm/overcommit_memory": None,
    "vm/panic_on_oom": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
    "kernel/keys/root_maxkeys": None,
    "kernel/keys/root_maxbytes": None,
}
# Folders whose names are built into the kubelet, containerd's shim and the CNI plugins: others may use them, too.
_SHARED = ("/var/log/pods", "/var/log/containers", "/var/lib/cni", "/run/containerd/s", "/run/containerd")


def remember() -> None:
    """Note the state of the machine, once: what is noted first is what `down` restores."""
    if BEFORE.exists():
        return
    settings = {name: file.read_text().strip() for name in SETTINGS if (file := _file(name)).exists()}
    folders = {folder: sorted(entry.name for entry in _entries(folder)) for folder in _SHARED if Path(folder).exists()}
    write_private(BEFORE, json.dumps({"settings": settings, "folders": folders}, indent=1))


def restore_settings() -> None:
    """Give the kernel's settings the values they had."""
    for name, value in _remembered("settings").items():
        write_setting(name, value)


def clean_folders() -> None:
    """Delete what has appeared in the shared folders since, but for what somebody else serves, and empty new ones."""
    if not BEFORE.exists():
        return
    folders = _remembered("folders")
    for folder in _SHARED:
        for entry in _entries(folder):
            if entry.name in folders.get(folder, ()) or str(entry) in _SHARED:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif not (entry.is_socket() and procfs.accepts(str(entry), 1.0)):
                entry.unlink()
        if folder not in folders and Path(folder).is_dir() and not any(_entries(folder)):
            Path(folder).rmdir()


def write_setting(name: str, value: str) -> None:
    """Write a kernel setting unless it has that value already."""
    file = _file(name)
    if file.exists() and file.read_text().strip() != value:
        file.write_text(value)


def _file(name: str) -> Path:
    return Path("/proc/sys", name)


def _entries(folder: str) -> Iterator[Path]:
    return Path(folder).iterdir() if Path(folder).is_dir() else iter(())


def _remembered(part: str) -> dict[str, str]:
    return json.loads(BEFORE.read_text())[part] if BEFORE.exists() else {}
