"""A one-node Kubernetes on this machine: `up`, `down`, `status`, `logs`. It shares nothing with any other."""

from local.node.layout import CONTEXT, DEBIAN_PACKAGES, KUBECONFIG
from local.node.node import down, logs, status, up
from local.node.preflight import check

debian_packages = DEBIAN_PACKAGES
kubeconfig = KUBECONFIG
context = CONTEXT

__all__ = ["check", "context", "debian_packages", "down", "kubeconfig", "logs", "status", "up"]
