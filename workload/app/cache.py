"""The totals in Memcached: written by analytics, read by the API before it asks Postgres. A dead cache is a miss."""

import logging
import ssl

from pydantic import ValidationError
from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError

from workload.app.jobs import Totals
from workload.app.settings import Memcached

KEY = "totals"
# Two analytics workers may write in the wrong order; the older totals are shown for at most this long.
KEEP_SECONDS = 10

log = logging.getLogger(__name__)


class Cache:
    """Memcached, or nothing where the platform has none."""

    def __init__(self, settings: Memcached) -> None:
        self._client: PooledClient | None = None
        if settings.memcached_host:
            server = (settings.memcached_host, settings.memcached_port)
            authority = settings.memcached_ca_file
            self._client = PooledClient(
                server,
                connect_timeout=0.5,
                timeout=0.5,
                no_delay=True,
                max_pool_size=16,
                tls_context=ssl.create_default_context(cafile=authority) if authority else None,
            )

    def check(self) -> None:
        """Raise unless it answers, or there is none."""
        if self._client is not None:
            self._client.version()

    def get(self) -> Totals | None:
        """Return the totals, if they were written lately."""
        if self._client is None:
            return None
        try:
            value: bytes | None = self._client.get(KEY)
            return Totals.model_validate_json(value) if value else None
        except (OSError, MemcacheError, ValidationError) as problem:
            log.warning("the totals were not read from memcached", extra={"problem": str(problem)})
            return None

    def put(self, totals: Totals) -> None:
        """Keep the totals for a short while."""
        if self._client is None:
            return
        try:
            value = totals.model_dump_json().encode()
            self._client.set(KEY, value, expire=KEEP_SECONDS)
        except (OSError, MemcacheError) as problem:
            log.warning("the totals were not written to memcached", extra={"problem": str(problem)})

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
