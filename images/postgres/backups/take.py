"""Takes a backup, `full` or `differential`, removes those that are kept no longer, and notes in the database which there are.

It alone has the account that may remove objects: who breaks into a server of the database cannot remove its backups.
"""

import sys

from database import Refused, add_sentinel, await_server, query, settings
from repository import Contents, Failure, command, contents, patiently, pgbackrest, say

_TYPES = {"first": "full", "full": "full", "differential": "diff"}

_NOTE = """
INSERT INTO platform.backups (label, kind, started, ended) VALUES (:'label', :'kind', to_timestamp(:started), to_timestamp(:ended))
    ON CONFLICT (label) DO NOTHING;
"""


def take(kind: str) -> None:
    """Take a backup of this kind and see it in the bucket; the `first` one is full, and taken only if there is none."""
    before = patiently(contents)
    server = settings()
    await_server(server)
    if kind == "first" and before.backups:
        _note(server, before)
        say(f"there is a backup: {before.backups[-1].label}")
        return
    if not before.archive:
        pgbackrest("stanza-create")
    elif not before.backups:
        # Prepared, perhaps for a database that was lost before its first backup.
        pgbackrest("stanza-upgrade")
    add_sentinel(server)
    # It ends once the archive has what the backup needs, which the server's next attempt may have to bring.
    pgbackrest("backup", f"--type={_TYPES[kind]}", "--archive-timeout=300")
    after = contents()
    if not after.backups or (before.backups and after.backups[-1].label == before.backups[-1].label):
        raise Failure("the backup ended without an error, and is not in the bucket")
    newest = after.backups[-1]
    say(f"backup {newest.label} ({newest.kind}) took {newest.ended - newest.started} s; {len(after.backups)} are kept")
    try:
        _note(server, after)
    except Refused as refused:
        # It let us in at first. Another attempt would have the same login, and would take a backup that nobody needs.
        say(f"it is in the bucket, and the next backup notes it in the database: {refused}")


def _note(server: dict[str, str], found: Contents) -> None:
    for backup in found.backups:
        values = {
            "label": backup.label,
            "kind": backup.kind,
            "started": str(backup.started),
            "ended": str(backup.ended),
        }
        query(server, _NOTE, **values)


if __name__ == "__main__":
    command(lambda: take(sys.argv[1]))
