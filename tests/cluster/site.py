"""A site inside the cluster, the one that dev's `scrape_sites` allows, with pages whose content is known."""

from typing import Any

from tests.cluster import packets
from tests.cluster.conftest import Node, eventually

NAMESPACE = "demo"
URL = "http://site.demo.svc.cluster.local:8080"
TITLE = "A page"

# `/slow/N` takes N seconds, which is what a test needs to kill a worker in the middle of a job.
_SERVER = """
import http.server, re, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        slow = re.match(r"/slow/(\\d+)", self.path)
        time.sleep(int(slow.group(1)) if slow else 0)
        page = b'<html><head><title>A page</title></head><body>four words stand here <a href="/next">next</a></body></html>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def deploy(node: Node) -> None:
    """Serve the site, from the image of the API, which has a Python."""
    image = node.get("deployment", "api", "--namespace=app")["spec"]["template"]["spec"]["containers"][0]["image"]
    labels = {"app.kubernetes.io/name": "site", "app.kubernetes.io/part-of": "platform"}
    here: dict[str, Any] = {"name": "site", "namespace": NAMESPACE}
    node.kubectl("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=60s")  # of another module's
    node.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**here, "labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "site", "image": image, "command": ["python", "-c", _SERVER]}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": here,
            "spec": {"selector": labels, "ports": [{"port": 8080}]},
        },
    )
    eventually("workers reach the site", lambda: reached(node))


def reached(node: Node) -> bool:
    """Whether every worker reaches the site by its name's address: one that tries too early comes again half a minute later."""
    address = node.get("service", "site", f"--namespace={NAMESPACE}")["spec"]["clusterIP"]
    workers = [packets.pod(node.process(worker)) for worker in node.pods("app", "worker-scraping")]
    return bool(workers) and all(packets.reached(worker, [(address, 8080)]) for worker in workers)


def remove(node: Node) -> None:
    """Delete the site and all that is its own."""
    node.remove(NAMESPACE)
