"""The platform's tiers: one file per thing a person would draw, building blocks beside them."""

from components.admission import Admission
from components.api import Api
from components.backups import Backups
from components.cert_manager import CertManager
from components.frontend import Frontend
from components.memcached import Memcached
from components.migration import Migration
from components.namespaces import Namespace
from components.object_store import ObjectStore
from components.pgbouncer import PgBouncer
from components.postgres import Postgres
from components.postgres_exporter import PostgresExporter
from components.redis import Redis
from components.redis_backups import RedisBackups
from components.rotation import Rotation
from components.scheduler import Scheduler
from components.settings import Settings
from components.snapshots import Snapshots
from components.storage import Storage
from components.worker import Workers

__all__ = [
    "Admission",
    "Api",
    "Backups",
    "CertManager",
    "Frontend",
    "Memcached",
    "Migration",
    "Namespace",
    "ObjectStore",
    "PgBouncer",
    "Postgres",
    "PostgresExporter",
    "Redis",
    "RedisBackups",
    "Rotation",
    "Scheduler",
    "Settings",
    "Snapshots",
    "Storage",
    "Workers",
]
