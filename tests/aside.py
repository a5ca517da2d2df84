"""Run a command with the processor time that others leave: `python -m tests.aside pytest tests/servers`.

A tenth of what one of the others gets where all want it, for the command and all it starts. A control group, and no `nice`:
where the kernel groups processes by their session, as Debian's does, that counts within a session, and every process of the
node, every pod and every server that a test starts is in one of its own. What it prints is shown when it has ended.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
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
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(sys.argv[1:], stdout=printed, stderr=subprocess.STDOUT)
        # A terminal's reaches the command too, whose end is awaited.
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
        code = process.wait()
        printed.seek(0)
        shutil.copyfileobj(printed, sys.stdout.buffer)
    return code


if __name__ == "__main__":
    sys.exit(main())
