"""Fills the volume of the first server of a cluster: from the newest backup there is, or, if there never was one, empty.

Patroni runs it where no server has any data. It ends with an error, and Patroni tries again, as long as it cannot be told
whether there is a backup: to be in doubt is no reason to begin empty. With RESTORE_TARGET it restores to that moment.
"""

import os
import shutil
import subprocess
from pathlib import Path

from repository import Failure, command, contents, patiently, pgbackrest, say


def bootstrap() -> None:
    """Fill PGDATA; if it is killed meanwhile, the marker that is left lets the entrypoint begin anew."""
    data = Path(os.environ["PGDATA"])
    data.mkdir(mode=0o700, exist_ok=True)
    marker = data.parent / "bootstrapping"
    marker.touch()
    try:
        _fill(data, os.environ.get("RESTORE_TARGET", ""))
    except Failure:
        # Patroni lets another server try, whose attempt is not ours to end.
        shutil.rmtree(data)
        marker.unlink()
        raise


def _fill(data: Path, target: str) -> None:
    backups = patiently(contents).backups
    if backups:
        wanted = f"to {target}" if target else "to the newest moment in the archive"
        say(f"restoring {wanted}; the newest backup is {backups[-1].label}")
        restore(target)
    elif target:
        raise Failure(f"there is no backup to restore to {target} from")
    else:
        say("there is no backup, and never was: beginning with an empty database")
        options = ["--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres"]
        if subprocess.run(["initdb", f"--pgdata={data}", *options], check=False).returncode:
            raise Failure("initdb failed")


def restore(target: str) -> None:
    """Put the newest backup before the target, or the newest of all, into PGDATA; the server replays the rest as it starts."""
    until = ["--type=time", f"--target={target}", "--target-action=promote"] if target else ["--type=default"]
    pgbackrest("restore", *until)


if __name__ == "__main__":
    command(bootstrap)
