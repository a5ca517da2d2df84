"""A Kubernetes API and nothing behind it: objects are stored, nothing runs. Up in a few seconds, gone without a trace."""

import base64
import json
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.processes import free_port

_READY_SECONDS = 90.0
CONTEXT = "control-plane"


@contextmanager
def control_plane(binaries: Path, directory: Path) -> Generator[Path]:
    """Run etcd and an API server of their own in `directory`, and yield a kubeconfig whose user may do everything."""
    etcd = shutil.which("etcd")
    assert etcd, "etcd: not on PATH; `make up` installs it (etcd-server)"
    store, peer, port, token = free_port(), free_port(), free_port(), secrets.token_urlsafe()
    users, key = directory / "users.csv", directory / "accounts.key"
    users.write_text(f'{token},tester,tester,"system:masters"\n')
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    with ExitStack() as running:
        _start(
            running,
            [
                etcd,
                f"--data-dir={directory / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{store}",
                f"--advertise-client-urls=http://127.0.0.1:{store}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
            ],
            directory / "etcd.log",
        )
        _start(
            running,
            [
                str(binaries / "kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{store}",
                f"--secure-port={port}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--cert-dir={directory / 'certificates'}",
                f"--token-auth-file={users}",
                "--authorization-mode=RBAC",
                "--allow-privileged=true",  # as everywhere: what refuses it are the policies
                "--disable-admission-plugins=ServiceAccount",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--service-cluster-ip-range=10.97.0.0/24",
            ],
            directory / "kube-apiserver.log",
        )
        certificate = directory / "certificates" / "apiserver.crt"
        _await_ready(port, token, certificate, directory / "kube-apiserver.log")
        kubeconfig = _kubeconfig(directory / "kubeconfig", port, token, certificate)
        # Objects are removed by the garbage collector: the provider deletes with everything that depends on them.
        _start(
            running,
            [
                str(binaries / "kube-controller-manager"),
                f"--kubeconfig={kubeconfig}",
                "--controllers=garbage-collector-controller",
                "--leader-elect=false",
                f"--secure-port={free_port()}",
                f"--cert-dir={directory / 'certificates'}",
            ],
            directory / "kube-controller-manager.log",
        )
        yield kubeconfig


def _start(running: ExitStack, command: list[str], log: Path) -> None:
    output = running.enter_context(log.open("wb"))
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    running.callback(process.wait)
    running.callback(process.kill)


def _await_ready(port: int, token: str, certificate: Path, log: Path) -> None:
    request = urllib.request.Request(f"https://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        try:
            context = ssl.create_default_context(cafile=str(certificate))
            with urllib.request.urlopen(request, context=context, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the API server is not ready after {_READY_SECONDS:.0f} s:\n{log.read_text()[-2000:]}")


def _kubeconfig(file: Path, port: int, token: str, certificate: Path) -> Path:
    authority = base64.b64encode(certificate.read_bytes()).decode()
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": server}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }
    file.write_text(json.dumps(content))
    return file
