"""Run a command with the processor time that others leave: `python -m tests.aside pytest tests/servers`.

A tenth of what one of the others gets where all want it, for the command and all it starts. A control group, and no `nice`:
where the kernel groups processes by their session, as Debian's does, that counts within a session, and every process of the
node, every pod and every server that a test starts is in one of its own.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def group() -> Path:
    """Return a control group whose members give way, made if there is none; it stays, and costs nothing, until a reboot."""
    unified = (_GROUPS / "cgroup.controllers").exists()
    made = (_GROUPS if unified else _GROUPS / "cpu") / "aside"
    if unified:
        (_GROUPS / "cgroup.subtree_control").write_text("+cpu")
    made.mkdir(exist_ok=True)
    name, share = ("cpu.weight", 10) if unified else ("cpu.shares", 102)
    (made / name).write_text(str(share))
    return made


def main() -> int:
    """Run the command in the group, and return its exit code."""
    (group() / "cgroup.procs").write_text(str(os.getpid()))
    process = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGINT, lambda _number, _frame: None)  # a terminal's reaches the command, whose end is awaited
    signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
