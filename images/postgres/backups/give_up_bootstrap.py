"""Lets the servers elect anew who fills the first volume, after the one that did was killed.

Patroni keeps an empty mark in the cluster's ConfigMap while the first server fills its volume, and takes it back if that
fails, but not if it is killed: then all would wait for ever. A mark that is not empty is that of a complete cluster, and stays.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MARK = "/metadata/annotations/initialize"
_NOT_SO = 422


def give_up(address: str, account: Path, scope: str) -> None:
    """Take the empty mark back, if it is there."""
    namespace, token = (account / "namespace").read_text(), (account / "token").read_text()
    changes = [{"op": "test", "path": _MARK, "value": ""}, {"op": "remove", "path": _MARK}]
    request = urllib.request.Request(  # noqa: S310 - the API server's own address
        f"{address}/api/v1/namespaces/{namespace}/configmaps/{scope}-config",
        json.dumps(changes).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json-patch+json"},
        method="PATCH",
    )
    authority = account / "ca.crt"
    context = ssl.create_default_context(cafile=str(authority)) if address.startswith("https:") else None
    try:
        urllib.request.urlopen(request, timeout=10, context=context).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != _NOT_SO:
            sys.exit(f"error: {request.full_url}: {error.code}: {error.read().decode()}")


if __name__ == "__main__":
    give_up(
        f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}",
        ACCOUNT,
        os.environ["PATRONI_SCOPE"],
    )
