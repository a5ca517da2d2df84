"""The platform, from the data up to the edge. This file is the architecture diagram."""

import pulumi
import pulumi_kubernetes as kubernetes

from components import Api, Frontend, Memcached, Migration, Namespace, Postgres, Redis, Scheduler, Settings, Workers
from components.cert_manager import CertManager

settings = Settings.load()
# A constant identifier: with another one, a moved kubeconfig would look like another cluster and replace everything.
cluster = kubernetes.Provider("cluster", context=pulumi.Config().get("context"), cluster_identifier="platform")
there = pulumi.ResourceOptions(provider=cluster)

security = Namespace("security", settings.quota, opts=there)
certificates = CertManager(
    "cert-manager", settings.cert_manager, namespace=security, api_server=settings.api_server, opts=there
)
data = Namespace("data", settings.quota, issuer=certificates.issuer, opts=there)
app = Namespace("app", settings.quota, issuer=certificates.issuer, opts=there)

postgres = Postgres("postgres", settings.postgres, namespace=data, api_server=settings.api_server, opts=there)
redis = Redis("redis", settings.redis, namespace=data, opts=there)
memcached = Memcached("memcached", settings.memcached, namespace=data, opts=there)

migration = Migration("migration", settings.api, namespace=app, talks_to=[postgres.owner], after=[postgres], opts=there)
api = Api(
    "api",
    settings.api,
    namespace=app,
    talks_to=[postgres.primary, *postgres.replicas, redis.producer, memcached.endpoint],
    sites=settings.scrape_sites,
    after=[migration],
    opts=there,
)
workers = Workers(
    "worker",
    settings.workers,
    namespace=app,
    talks_to=[postgres.primary, redis.consumer],
    cache=memcached.endpoint,
    sites=settings.scrape_sites,
    after=[migration],
    opts=there,
)
scheduler = Scheduler(
    "scheduler",
    settings.scheduler,
    namespace=app,
    talks_to=[postgres.primary, redis.keeper],
    after=[migration],
    opts=there,
)
frontend = Frontend("frontend", settings.frontend, namespace=app, talks_to=[api.endpoint], opts=there)

endpoints = [postgres.primary, redis.producer, memcached.endpoint, api.endpoint, frontend.endpoint]
connected = [certificates, postgres, redis, migration, api, workers, scheduler, frontend]
pulumi.export("url", settings.url)
pulumi.export("endpoints", {endpoint.of.name: f"{endpoint.host}:{endpoint.port}" for endpoint in endpoints})
pulumi.export("connections", [row for tier in connected for row in tier.connections])
