"""The supervisor's own supervisor: starts it again when it dies."""

import os
import select
import time
from pathlib import Path

from local.node import procfs, supervisor
from local.node.daemon import Daemon, wait_for

_START_TIMEOUT = 10.0
# One that cannot run at all, on a full disk for instance, is not started in a tight loop.
_PAUSE = 0.5


def main(arguments: list[str]) -> int:
    """Watch the supervisor for ever. It ends by being stopped, which the supervisor does when it is stopped itself."""
    run, processes, logs, authority = (Path(argument) for argument in arguments)
    daemon = Daemon(run=run, processes=processes, logs=logs, authority=authority)
    while True:
        record = supervisor.running(run)
        pidfd = procfs.open_process(record) if record else None
        if pidfd is None:
            time.sleep(_PAUSE)
            daemon.start()
            wait_for(lambda: supervisor.running(run) is not None, _START_TIMEOUT)
            continue
        select.select([pidfd], [], [])
        os.close(pidfd)
