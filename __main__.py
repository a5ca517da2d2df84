"""The platform, from the data up to the edge. This file is the architecture diagram."""

import pulumi
import pulumi_kubernetes as kubernetes

import components as tiers

settings = tiers.Settings.load()
# A constant identifier: with another one, a moved kubeconfig would look like another cluster and replace everything.
cluster = kubernetes.Provider("cluster", context=pulumi.Config().get("context"), cluster_identifier="platform")
there = pulumi.ResourceOptions(provider=cluster)

security = tiers.Namespace("security", settings.quota, opts=there)
certificates = tiers.CertManager(
    "cert-manager", settings.cert_manager, namespace=security, api_server=settings.api_server
)
storage = tiers.Storage("storage", settings.storage, opts=there)
data = tiers.Namespace("data", settings.quota, issuer=certificates.issuer, after=[storage], opts=there)
app = tiers.Namespace("app", settings.quota, issuer=certificates.issuer, opts=there)
tiers.Admission("admission", of=[security, data, app], opts=there)
objects = tiers.ObjectStore("objects", settings.objects, namespace=data, keys=tiers.Settings.bucket_keys())
postgres = tiers.Postgres("postgres", settings.postgres, namespace=data, api_server=settings.api_server, store=objects)
backups = tiers.Backups("postgres", settings.postgres, namespace=data, database=postgres, store=objects)
exporter = tiers.PostgresExporter("postgres-exporter", settings.postgres_exporter, namespace=data, database=postgres)
pgbouncer = tiers.PgBouncer("pgbouncer", settings.pgbouncer, namespace=data, database=postgres)
redis = tiers.Redis("redis", settings.redis, namespace=data)
queue_backups = tiers.RedisBackups("redis", settings.redis, namespace=data, queue=redis, store=objects)
memcached = tiers.Memcached("memcached", settings.memcached, namespace=data)
snapshots = tiers.Snapshots(
    "snapshots", settings.storage, namespace=data, api_server=settings.api_server, of=[postgres, redis]
)
migration = tiers.Migration("migration", settings.api, namespace=app, talks_to=[postgres.owner], after=[postgres])
api = tiers.Api(
    "api",
    settings.api,
    namespace=app,
    talks_to=[pgbouncer.primary, *postgres.replicas, redis.producer, memcached.endpoint],
    sites=settings.scrape_sites,
    after=[migration, redis],
)
workers = tiers.Workers(
    "worker",
    settings.workers,
    namespace=app,
    talks_to=[pgbouncer.primary, redis.consumer],
    cache=memcached.endpoint,
    sites=settings.scrape_sites,
    after=[migration, redis],
)
scheduler = tiers.Scheduler(
    "scheduler", settings.scheduler, namespace=app, talks_to=[pgbouncer.primary, redis.keeper], after=[migration, redis]
)
frontend = tiers.Frontend("frontend", settings.frontend, namespace=app, talks_to=[api.endpoint])
clients = [pgbouncer, backups, queue_backups, exporter, migration, api, workers, scheduler]
rotation = tiers.Rotation("rotation", of=[postgres, redis, objects], namespace=data, after=clients)
endpoints = [postgres.primary, pgbouncer.primary, redis.producer, memcached.endpoint, api.endpoint, frontend.endpoint]
connected = [certificates, objects, postgres, redis, snapshots, *clients, frontend, rotation]
pulumi.export("url", settings.url)
pulumi.export("endpoints", {endpoint.of.name: f"{endpoint.host}:{endpoint.port}" for endpoint in endpoints})
pulumi.export("connections", [row for tier in connected for row in tier.connections])
