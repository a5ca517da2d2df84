"""`python -m workload.app api | worker KIND | scheduler`: one program, one process each."""

import argparse
import logging
import signal
import sys
from threading import Event
from types import FrameType

from workload.app import log
from workload.app.jobs import Kind
from workload.app.settings import SettingsError


def _stop_on_signal() -> Event:
    """Turn the signals that end a process into an event; one that comes during the end changes nothing."""
    stop = Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def main() -> int:
    """Run the part that the arguments name until it is told to stop; 2 means that its environment is not usable."""
    parser = argparse.ArgumentParser(prog="workload")
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("api")
    parts.add_parser("worker").add_argument("kind", type=Kind, choices=list(Kind))
    parts.add_parser("scheduler")
    arguments = parser.parse_args()
    log.configure(f"worker-{arguments.kind}" if arguments.part == "worker" else arguments.part)
    stop = _stop_on_signal()  # the API's server has handlers of its own, and comes back to these when it is done
    # Imported here: a worker does not need the web framework, nor its memory.
    try:
        if arguments.part == "api":
            from workload.app import api  # noqa: PLC0415

            api.main()
        elif arguments.part == "worker":
            from workload.app import worker  # noqa: PLC0415

            worker.main(arguments.kind, stop)
        else:
            from workload.app import scheduler  # noqa: PLC0415

            scheduler.main(stop)
    except SettingsError as problem:
        for line in str(problem).splitlines():
            logging.getLogger("workload.app").error(line)  # noqa: TRY400 - the message is for a person
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
