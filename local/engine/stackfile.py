"""A stack's settings, with what only this machine knows added, in a copy.

The engine writes into the stack file that it is given: the salt of the passphrase, above all. So it is given a copy, and the
committed file stays as its author left it.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.problem import Problem

_SALT = re.compile(r"^encryptionsalt:\s*(\S+)", re.MULTILINE)
_PROVIDER = re.compile(r"^secretsprovider:\s*(\S+)", re.MULTILINE)
_CONFIG = re.compile(r"^config:[ \t]*(\{\})?[ \t]*(#.*)?$", re.MULTILINE)
_NAME = re.compile(r"^name:\s*['\"]?([\w.-]+)", re.MULTILINE)


def project(root: Path) -> str:
    """Return the project's name."""
    file = root / "Pulumi.yaml"
    if not file.exists() or not (found := _NAME.search(file.read_text())):
        raise Problem(f"{file}: there is no project file with a name; run the command in a clone of the platform")
    return found[1]


def stacks(root: Path) -> list[str]:
    """Return the names of the stacks that have a file."""
    return sorted(file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in root.glob("Pulumi.*.yaml"))


def committed(root: Path, stack: str) -> str:
    """Return the text of the stack's file."""
    known = stacks(root)
    if stack not in known:
        raise Problem(
            f"Pulumi.{stack}.yaml: there is no such file in {root}; the stacks are {', '.join(known) or '(none)'}. "
            f"Name one of them (STACK=…), or write Pulumi.{stack}.yaml: what differs from the defaults"
        )
    return (root / f"Pulumi.{stack}.yaml").read_text()


def secrets_provider(text: str) -> str:
    """Return what encrypts the stack's secrets."""
    found = _PROVIDER.search(text)
    return found[1].strip("'\"") if found else "passphrase"


def context(root: Path, stack: str) -> str | None:
    """Return the kubeconfig context that the stack's file names, if it does."""
    key = re.escape(f"{project(root)}:context")
    found = re.search(rf"^ +['\"]?{key}['\"]?: *['\"]?([^'\"#\n]+)", committed(root, stack), re.MULTILINE)
    return found[1].strip() if found else None


def derive(root: Path, stack: str, place: Path, added: Mapping[str, Any]) -> Path:
    """Write the stack's file with the `added` configuration to `place`, in a directory that is a project of its own.

    An added key replaces the file's own: it comes from a command line. The salt of the copy before is kept.
    """
    text = committed(root, stack)
    copy = place / f"Pulumi.{stack}.yaml"
    lines = [f"  {key}: {json.dumps(value)}" for key, value in added.items()]
    for key in added:
        text = re.sub(rf"^( +)['\"]?{re.escape(key)}['\"]?:.*\n(\1[ -].*\n)*", "", text, flags=re.MULTILINE)
    if lines:
        if _CONFIG.search(text):
            text = _CONFIG.sub(lambda _: "\n".join(["config:", *lines]), text, count=1)
        else:
            text = "\n".join([text.rstrip(), "config:", *lines, ""])
    if not _SALT.search(text) and copy.exists() and (salt := _SALT.search(copy.read_text())):
        text = f"{text.rstrip()}\nencryptionsalt: {salt[1]}\n"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(place / "Pulumi.yaml", (root / "Pulumi.yaml").read_text())
    _write(copy, text)
    return copy


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.touch(0o600)
    partial.write_text(text)
    partial.replace(file)
