"""The configuration files of everything that runs on the node. JSON is valid YAML, so all but containerd's are JSON."""

import json
from base64 import b64encode
from collections.abc import Mapping

from local.node import apiserver
from local.node.layout import (
    API_URL,
    CONFIG,
    CONTAINERD_SOCKET,
    CONTEXT,
    DNS_ADDRESS,
    KUBECONFIG,
    KUBELET,
    NODE_ADDRESS,
    NODE_NAME,
    PKI,
    POD_BRIDGE,
    POD_RANGE,
    RUN,
    STATE,
)
from local.node.pki import write_private

# Components that talk to the API server, each with a certificate of its own name.
CLIENTS = (
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kube-router",
    "csi-provisioner",
    "csi-resizer",
    "csi-snapshotter",
    "snapshot-controller",
)
_EVICTION = {
    "memory.available": "200Mi",
    "nodefs.available": "1Gi",
    "nodefs.inodesFree": "1%",
    "imagefs.available": "1Gi",
}


def write(snapshotter: str, nameservers: tuple[str, ...]) -> None:
    """Write every file under the configuration folder and the administrator's kubeconfig; untouched if unchanged."""
    CONFIG.mkdir(parents=True, exist_ok=True, mode=0o700)
    (CONFIG / "cni").mkdir(exist_ok=True)
    for name, document in {
        "authentication.json": apiserver.authentication(),
        "admission.json": apiserver.admission(),
        "audit.json": apiserver.audit(),
        "encryption.json": apiserver.encryption((PKI / "encryption.key").read_text()),
        "kubelet.json": kubelet(),
        "kube-proxy.json": kube_proxy(),
        "cni/10-pods.conflist": cni(),
        **{f"{name}.kubeconfig": kubeconfig(name) for name in CLIENTS},
    }.items():
        write_private(CONFIG / name, json.dumps(document, indent=1) + "\n")
    write_private(CONFIG / "containerd.toml", containerd(snapshotter))
    write_private(CONFIG / "resolv.conf", "".join(f"nameserver {address}\n" for address in nameservers))
    write_private(KUBECONFIG, json.dumps(kubeconfig("admin"), indent=1) + "\n")


def kubeconfig(name: str) -> Mapping[str, object]:
    """Return the kubeconfig of `name`; the administrator's carries its keys, so that it works wherever it is copied."""
    files = {
        "certificate-authority": PKI / "ca.crt",
        "client-certificate": PKI / f"{name}.crt",
        "client-key": PKI / f"{name}.key",
    }
    if name == "admin":
        said = {f"{key}-data": b64encode(file.read_bytes()).decode() for key, file in files.items()}
    else:
        said = {key: str(file) for key, file in files.items()}
    authority = {key: value for key, value in said.items() if key.startswith("certificate-authority")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": API_URL, **authority}}],
        "users": [{"name": name, "user": {key: value for key, value in said.items() if key not in authority}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": name}}],
    }


def kubelet() -> Mapping[str, object]:
    """Tolerate cgroup v1, confine pods with seccomp by default, collect no images: they cannot be pulled again."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(PKI / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(PKI / "kubelet.crt"),
        "tlsPrivateKeyFile": str(PKI / "kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        # The machine may lack CAP_SYS_RESOURCE, without which no score can be lowered.
        "oomScoreAdj": 0,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(CONFIG / "resolv.conf"),
        "volumePluginDir": str(KUBELET / "volume-plugins"),
        # How long a pod's grown volume waits for its file system to be grown: a minute unless something else happens to the pod.
        "syncFrequency": "10s",
        "enforceNodeAllocatable": ["pods"],
        "systemReserved": {"memory": "500Mi"},
        "evictionHard": _EVICTION,
        "imageGCHighThresholdPercent": 100,
        "seccompDefault": True,
        "serializeImagePulls": False,
        "enableDebuggingHandlers": True,
        "enableProfilingHandler": False,
        "registerNode": True,
        "shutdownGracePeriod": "0s",
    }


def kube_proxy() -> Mapping[str, object]:
    """Services through iptables; a NodePort answers on this machine's loopback and node address, and nowhere else."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NODE_NAME,
        "clientConnection": {"kubeconfig": str(CONFIG / "kube-proxy.kubeconfig")},
        "clusterCIDR": POD_RANGE,
        "nodePortAddresses": ["127.0.0.0/8", f"{NODE_ADDRESS}/32"],
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "iptables": {"localhostNodePorts": True},
        # Zero leaves the machine's own connection-tracking limits as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "oomScoreAdj": 0,
    }


def cni() -> Mapping[str, object]:
    """Pods on one bridge. Masquerading is one rule of the node's own (network.py), not two chains for every pod."""
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": POD_BRIDGE,
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(STATE / "cni"),
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def containerd(snapshotter: str) -> str:
    """Return the settings of a containerd that shares no file, socket or folder with one the machine may have."""
    return f"""version = 2
root = "{STATE}/containerd"
state = "{RUN}/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{STATE}/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{CONFIG}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{RUN}/runc"
"""
