"""Every image the platform runs, named once by tag.

Images that come from upstream keep upstream's full name, so that a mirror or a local build can stand in under it. A
stack's `platform:images` maps these names to what really runs there: a digest in a registry, or a local build.
"""

FRONTEND = "platform/frontend:0.1.0"
API = "platform/api:0.1.0"
WORKER = "platform/worker:0.1.0"
SCHEDULER = "platform/scheduler:0.1.0"
POSTGRES = "platform/postgres:15"
POSTGRES_EXPORTER = "quay.io/prometheuscommunity/postgres-exporter:v0.11.1"
PGBOUNCER = "platform/pgbouncer:1.18"
SNAPSHOTS = "platform/snapshots:0.1.0"
REDIS = "docker.io/library/redis:7.2.16"
MEMCACHED = "docker.io/library/memcached:1.6.45"
CERT_MANAGER = "quay.io/jetstack/cert-manager-controller:v1.21.1"
VERSITYGW = "ghcr.io/versity/versitygw:v1.7.0"
BUCKETS = "platform/buckets:0.1.0"
