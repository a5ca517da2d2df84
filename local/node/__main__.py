"""The node's own two processes: `python3 -m local.node supervisor|guard RUN PROCESSES LOGS AUTHORITY`."""

import sys

from local.node import guard, supervisor

if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    sys.exit({"supervisor": supervisor.main, "guard": guard.main}[role](arguments))
