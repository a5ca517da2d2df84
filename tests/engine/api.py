"""One connection to an API server, to ask it much in little time: each run of kubectl costs more than all that it asks."""

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What an API server said: an object, or why it takes none; and what it warned of."""

    status: int
    body: Manifest
    warnings: list[str]

    @property
    def refusal(self) -> str:
        """Return why it refuses; nothing if it does not."""
        return "" if self.status < http.HTTPStatus.BAD_REQUEST else self.body["message"]


class Api:
    """An API server as the user of a kubeconfig, whose token it has."""

    def __init__(self, kubeconfig: Path) -> None:
        read = json.loads(kubeconfig.read_text())
        cluster, user = read["clusters"][0]["cluster"], read["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        where = urlsplit(str(cluster["server"]))
        self._connection = http.client.HTTPSConnection(where.hostname or "", where.port, context=context, timeout=60)
        self._headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "application/json"}

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def ask(self, method: str, path: str, body: Manifest | None = None) -> Answer:
        """Return the answer to one request."""
        self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
        response = self._connection.getresponse()
        warnings = response.headers.get_all("Warning") or []
        return Answer(response.status, json.loads(response.read()), warnings)

    def create(self, manifest: Manifest, *options: str) -> Answer:
        """Have an object made; with `dryRun=All`, all but stored."""
        return self.ask("POST", "?".join(filter(None, (_collection(manifest), "&".join(options)))), manifest)

    def replace(self, manifest: Manifest, *options: str) -> Answer:
        """Have an object that is there replaced by another."""
        path = f"{_collection(manifest)}/{manifest['metadata']['name']}"
        return self.ask("PUT", "?".join(filter(None, (path, "&".join(options)))), manifest)


def resource(manifest: Manifest) -> str:
    """Return the resource that an object is one of, as `apps/deployments`, without a group `services`."""
    group = manifest["apiVersion"].rpartition("/")[0]
    kind = manifest["kind"].lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    return f"{group}/{plural}" if group else plural


def _collection(manifest: Manifest) -> str:
    version, namespace = manifest["apiVersion"], manifest["metadata"].get("namespace")
    inside = f"namespaces/{namespace}/" if namespace else ""
    return f"/{'apis' if '/' in version else 'api'}/{version}/{inside}{resource(manifest).rpartition('/')[2]}"
