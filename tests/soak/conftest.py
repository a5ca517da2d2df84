"""The same platform and node as the cluster tests have."""

from tests.cluster.conftest import node, platform

__all__ = ["node", "platform"]
