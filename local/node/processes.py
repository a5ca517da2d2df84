"""The table of everything that runs on the node: name, command line, readiness check, what it waits for."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.node.layout import (
    API_PORT,
    CONFIG,
    CONTAINERD_SOCKET,
    CSI_SOCKET,
    KUBELET,
    LOGS,
    NODE_ADDRESS,
    NODE_NAME,
    PKI,
    POD_RANGE,
    PORTS,
    SERVICE_RANGE,
    STATE,
    VOLUMES,
)

_ETCD = "https://127.0.0.1:23790"
_ETCD_PEER = "https://127.0.0.1:23800"
_ETCD_METRICS = "http://127.0.0.1:23810"
# Debian's sbin is not on every user's path, and the kubelet and containerd run iptables, ip and conntrack by name.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. `ready` is an http(s) URL that answers 200, a unix:// socket that accepts, or "" for being alive."""

    name: str
    command: tuple[str, ...]
    ready: str = ""
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": PATH, "HOME": str(STATE)})

    @property
    def digest(self) -> str:
        """Changes with the command line, the program or a file that it is configured by: then what runs is outdated."""
        files = (Path(word.partition("=")[2]) for word in self.command[1:] if "=/" in word)
        content = [file.read_bytes() for file in files if {PKI, CONFIG}.intersection(file.parents) and file.is_file()]
        program = Path(self.command[0])
        build = (program.stat().st_size, program.stat().st_mtime_ns) if program.exists() else None
        return hashlib.sha256(
            repr((self.command, sorted(self.environment.items()), build, content)).encode()
        ).hexdigest()


def table(binaries: Path, guard: Process) -> tuple[Process, ...]:
    """Return all processes, in the order in which they may start; the supervisor's `guard` is one of them."""

    def process(name: str, *flags: str, ready: str = "", after: tuple[str, ...] = (), program: str = "") -> Process:
        return Process(name=name, command=(program or str(binaries / name), *flags), ready=ready, after=after)

    def sidecar(name: str, *flags: str) -> Process:
        address = f"127.0.0.1:{PORTS[name][0]}"
        return process(
            name,
            f"--kubeconfig={CONFIG / name}.kubeconfig",
            f"--http-endpoint={address}",
            *flags,
            ready=f"http://{address}/metrics",
            after=("kube-apiserver", "csi-hostpath"),
        )

    return (
        process(
            "etcd",
            f"--data-dir={STATE / 'etcd'}",
            f"--name={NODE_NAME}",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={_ETCD_PEER}",
            f"--initial-advertise-peer-urls={_ETCD_PEER}",
            f"--initial-cluster={NODE_NAME}={_ETCD_PEER}",
            f"--listen-metrics-urls={_ETCD_METRICS}",
            "--client-cert-auth",
            "--peer-client-cert-auth",
            *(f"--{peer}trusted-ca-file={PKI / 'etcd-ca.crt'}" for peer in ("", "peer-")),
            *(f"--{peer}cert-file={PKI / 'etcd.crt'}" for peer in ("", "peer-")),
            *(f"--{peer}key-file={PKI / 'etcd.key'}" for peer in ("", "peer-")),
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=30m",
            ready=f"{_ETCD_METRICS}/health",
            program="/usr/bin/etcd",
        ),
        process(
            "containerd",
            f"--config={CONFIG / 'containerd.toml'}",
            ready=f"unix://{CONTAINERD_SOCKET}",
            program="/usr/bin/containerd",
        ),
        process(
            "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            f"--etcd-cafile={PKI / 'etcd-ca.crt'}",
            f"--etcd-certfile={PKI / 'etcd-client.crt'}",
            f"--etcd-keyfile={PKI / 'etcd-client.key'}",
            f"--secure-port={API_PORT}",
            f"--advertise-address={NODE_ADDRESS}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            *_serving("kube-apiserver"),
            f"--client-ca-file={PKI / 'ca.crt'}",
            f"--service-account-key-file={PKI / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={PKI / 'service-accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--kubelet-certificate-authority={PKI / 'ca.crt'}",
            f"--kubelet-client-certificate={PKI / 'kubelet-client.crt'}",
            f"--kubelet-client-key={PKI / 'kubelet-client.key'}",
            # The node's name is nowhere in DNS.
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={PKI / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={PKI / 'front-proxy-client.crt'}",
            f"--proxy-client-key-file={PKI / 'front-proxy-client.key'}",
            "--enable-aggregator-routing=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--authentication-config={CONFIG / 'authentication.json'}",
            f"--admission-control-config-file={CONFIG / 'admission.json'}",
            f"--encryption-provider-config={CONFIG / 'encryption.json'}",
            f"--audit-policy-file={CONFIG / 'audit.json'}",
            f"--audit-log-path={LOGS / 'audit.log'}",
            "--audit-log-maxsize=50",
            "--audit-log-maxbackup=4",
            "--audit-log-maxage=30",
            "--allow-privileged=true",
            "--profiling=false",
            ready=f"https://127.0.0.1:{API_PORT}/readyz",
            after=("etcd",),
        ),
        process(
            "kube-controller-manager",
            *_client("kube-controller-manager"),
            *_serving("kube-controller-manager"),
            f"--root-ca-file={PKI / 'ca.crt'}",
            f"--service-account-private-key-file={PKI / 'service-accounts.key'}",
            f"--cluster-signing-cert-file={PKI / 'ca.crt'}",
            f"--cluster-signing-key-file={PKI / 'ca.key'}",
            f"--cluster-cidr={POD_RANGE}",
            "--allocate-node-cidrs=true",
            "--use-service-account-credentials=true",
            ready="https://127.0.0.1:10257/healthz",
            after=("kube-apiserver",),
        ),
        process(
            "kube-scheduler",
            *_client("kube-scheduler"),
            *_serving("kube-scheduler"),
            ready="https://127.0.0.1:10259/healthz",
            after=("kube-apiserver",),
        ),
        process(
            "kubelet",
            f"--config={CONFIG / 'kubelet.json'}",
            f"--kubeconfig={CONFIG / 'kubelet.kubeconfig'}",
            f"--root-dir={KUBELET}",
            f"--cert-dir={KUBELET / 'pki'}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_ADDRESS}",
            "--node-labels=topology.kubernetes.io/region=local,topology.kubernetes.io/zone=local",
            ready="http://127.0.0.1:10248/healthz",
            after=("kube-apiserver", "containerd"),
        ),
        process(
            "kube-proxy",
            f"--config={CONFIG / 'kube-proxy.json'}",
            ready="http://127.0.0.1:10256/livez",
            after=("kube-apiserver",),
        ),
        process(
            "kube-router",
            f"--kubeconfig={CONFIG / 'kube-router.kubeconfig'}",
            f"--hostname-override={NODE_NAME}",
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            "--enable-cni=false",
            # How soon rules that somebody else has flushed are back.
            "--iptables-sync-period=1m",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            ready="http://127.0.0.1:20244/healthz",
            after=("kube-apiserver", "kubelet"),
        ),
        process(
            "csi-hostpath",
            f"--endpoint=unix://{CSI_SOCKET}",
            f"--registration-dir={KUBELET / 'plugins_registry'}",
            f"--node-id={NODE_NAME}",
            f"--data-dir={VOLUMES}",
            ready=f"unix://{CSI_SOCKET}",
        ),
        sidecar("csi-provisioner", f"--csi-address={CSI_SOCKET}", "--extra-create-metadata"),
        sidecar("csi-resizer", f"--csi-address={CSI_SOCKET}"),
        sidecar("csi-snapshotter", f"--csi-address={CSI_SOCKET}"),
        sidecar("snapshot-controller"),
        guard,
    )


def _client(name: str) -> tuple[str, ...]:
    # One instance only: a lease to be waited for after every restart would protect nothing.
    return (
        *(f"--{use}kubeconfig={CONFIG / name}.kubeconfig" for use in ("", "authentication-", "authorization-")),
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    )


def _serving(name: str) -> tuple[str, ...]:
    return (
        f"--tls-cert-file={PKI / name}.crt",
        f"--tls-private-key-file={PKI / name}.key",
        "--tls-min-version=VersionTLS12",
    )
