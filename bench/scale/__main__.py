"""Any number of workloads beside one server that all of them talk to."""

import pulumi
import pulumi_kubernetes as kubernetes

from components.namespaces import Namespace
from components.pods import http_pod
from components.settings import QuotaSettings
from components.tier_settings import ApiSettings
from components.workload import Workload

cluster = kubernetes.Provider("cluster", cluster_identifier="scale")
there = pulumi.ResourceOptions(provider=cluster)
app = Namespace("app", QuotaSettings(), opts=there)
args = ApiSettings()
server = Workload(app.identity("server", "server"), http_pod(args), args.scale, opts=there)
for number in range(pulumi.Config().require_int("workloads")):
    Workload(
        app.identity(f"client-{number}", "client"),
        http_pod(args),
        args.scale,
        talks_to=[server.endpoint],
        opts=there,
    )
