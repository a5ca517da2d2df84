"""The node's files, names, addresses and ports, each said once."""

from collections.abc import Callable
from pathlib import Path

STATE = Path("/var/lib/platform-node")
RUN = Path("/run/platform-node")

PKI = STATE / "pki"
CONFIG = STATE / "config"
LOGS = STATE / "logs"
KUBELET = STATE / "kubelet"
VOLUMES = STATE / "volumes"
KUBECONFIG = STATE / "kubeconfig"
PROCESSES = STATE / "processes.json"
BEFORE = STATE / "before.json"
CONTAINERD_SOCKET = RUN / "containerd" / "containerd.sock"
CSI_SOCKET = RUN / "csi.sock"

NODE_NAME = "platform-node"
CONTEXT = "platform-node"
STORAGE_DRIVER = "hostpath.csi.platform"
STORAGE_CLASS = "standard"

# The node's address is on a bridge of its own, so that nothing depends on the machine's network.
DEVICE = "platform0"
POD_BRIDGE = "cni0"
NODE_ADDRESS = "10.243.0.1"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"

API_PORT = 6443
API_URL = f"https://127.0.0.1:{API_PORT}"
PORTS = {
    "etcd": (23790, 23800, 23810),
    "kube-apiserver": (API_PORT,),
    "kube-controller-manager": (10257,),
    "kube-scheduler": (10259,),
    "kubelet": (10248, 10250),
    "kube-proxy": (10249, 10256),
    "kube-router": (20244,),
    "csi-provisioner": (29911,),
    "csi-resizer": (29912,),
    "csi-snapshotter": (29913,),
    "snapshot-controller": (29914,),
}

DEBIAN_PACKAGES: tuple[str, ...] = (
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "etcd-server",
    "iproute2",
    "ipset",
    "iptables",
    "mount",
    "openssl",
    "runc",
    "xfsprogs",
)

Say = Callable[[str], None]
