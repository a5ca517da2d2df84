"""The platform's tiers: one file per thing a person would draw, building blocks beside them."""

from components.api import Api
from components.frontend import Frontend
from components.memcached import Memcached
from components.migration import Migration
from components.namespaces import Namespace
from components.postgres import Postgres
from components.redis import Redis
from components.scheduler import Scheduler
from components.settings import Settings
from components.worker import Workers

__all__ = [
    "Api",
    "Frontend",
    "Memcached",
    "Migration",
    "Namespace",
    "Postgres",
    "Redis",
    "Scheduler",
    "Settings",
    "Workers",
]
