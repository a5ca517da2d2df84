"""The environment of every call of the engine: executables, plugins, backend, passphrase.

A `pulumi` already on PATH that brings its own language host is used as it is, with the plugins its user installed. Otherwise the
one we built runs with a home of our own, so that neither ever sees the other's plugins.
"""

import os
import secrets
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local.problem import Problem

_LANGUAGE_HOST = Path(__file__).parents[1] / "language_host" / "__main__.py"


def state_directory() -> Path:
    """Where what must outlive the cache is kept: the state of the stacks and the passphrase of their secrets."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "platform"


def file_backend(directory: Path) -> str:
    """Return the URL of a backend that keeps its state in `directory`, where it must be.

    A file is written beside its place and moved there, so that a kill leaves the old one or the new one; but the attributes
    that would be kept beside it are not, and a state whose attributes were cut short cannot be read. So there are none.
    """
    return f"file://{directory}?metadata=skip"


@dataclass(frozen=True)
class Home:
    """The executable and the environment to call it with."""

    pulumi: Path
    environment: dict[str, str]

    @property
    def backend(self) -> Path | None:
        """The directory of the state, or None if it is not kept in files on this machine."""
        kind, _, place = self.environment["PULUMI_BACKEND_URL"].partition("://")
        return Path(place.partition("?")[0]).expanduser() if kind == "file" else None


def home(binaries: Path, venv: Path) -> Home:
    """Return the engine to use. Plugins are taken from `binaries`/plugins/resource-NAME-vVERSION/."""
    state = _private(state_directory())
    environment = {
        **os.environ,
        # The program and the policy packs run in the virtual environment, also under a language host of the user's.
        "PATH": os.pathsep.join([str(venv / "bin"), os.environ.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(venv),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_SUPPRESS_NEO_LINK": "true",
        # A run lasts seconds and keeps most of what it makes: with Go's 100, collecting garbage was a tenth of the CPU of a
        # preview of prod with the policy pack. With this the engine takes 290 MB at its most, in place of 170.
        "GOGC": os.environ.get("GOGC") or "400",
        # An Output in an f-string would otherwise become a sentence in a manifest.
        "PULUMI_ERROR_OUTPUT_STRING": "true",
    }
    if not environment.get("PULUMI_BACKEND_URL"):
        _private(state / "pulumi")
        environment["PULUMI_BACKEND_URL"] = file_backend(state / "pulumi")
    if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & environment.keys():
        environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(state / "passphrase"))
    if users := users_own():
        return Home(users, environment)
    pulumi = binaries / "pulumi"
    if not pulumi.exists():
        raise Problem(f"{pulumi}: not there; run `make up`, which builds it")
    environment["PULUMI_HOME"] = str(_pulumi_home(state / "home", binaries / "plugins", venv))
    # Everything there is has been built from pinned modules; a plugin that is missing must not be looked for elsewhere.
    environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    environment["PULUMI_IGNORE_AMBIENT_PLUGINS"] = "true"
    return Home(pulumi, environment)


def users_own() -> Path | None:
    """Return the `pulumi` on PATH, if it brings its own language host."""
    found = shutil.which("pulumi")
    if not found:
        return None
    beside = Path(found).resolve().with_name("pulumi-language-python")
    return Path(found) if beside.exists() or shutil.which("pulumi-language-python") else None


def end_orphans(engine: Home) -> int:
    """End the plugins of ours whose engine was killed, and return how many: nothing else would ever end them."""
    cached = Path(engine.environment.get("PULUMI_HOME", os.devnull)) / "plugins"
    ended = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if (process / "exe").resolve().is_relative_to(cached) and _command(parent) != "pulumi":
                os.kill(int(process.name), signal.SIGTERM)
                ended += 1
        except OSError:
            continue  # ended by itself, or not ours to look at
    return ended


def _command(process: str) -> str:
    return Path("/proc", process, "comm").read_text().strip()


def _pulumi_home(place: Path, plugins: Path, venv: Path) -> Path:
    """Lay out a home whose plugins are exactly ours.

    Of the layouts the engine accepts this is the one it does not warn about: real directories in its plugin cache. A plugin
    finds its data files beside the executable, and follows links to it, so the files are hard links.
    """
    wanted = {directory.name: directory for directory in sorted(plugins.glob("resource-*-v*"))}
    cached = place / "plugins"
    _private(cached)
    _without_logs(place / "logs")
    host = "language-python-v1.0.0"
    for stale in cached.glob("*-v*"):
        if stale.name not in {*wanted, host}:
            shutil.rmtree(stale, ignore_errors=True)
    for name, directory in wanted.items():
        for source in directory.iterdir():
            _same(source, cached / name / source.name)
    _script(
        cached / host / "pulumi-language-python",
        f"#!/bin/sh\nexec '{venv}/bin/python' '{_LANGUAGE_HOST}' \"$@\"\n",
    )
    return place


def _without_logs(logs: Path) -> None:
    """Leave the engine no folder for the log that it writes of each run at its highest level, encrypted: it goes on without.

    That log was half of the engine's CPU in a preview of prod (0.85 of 1.72 s), and 9 MB for one `up`; there is no setting for
    it. `pulumi` prints the like with `--logtostderr --verbose=9`.
    """
    if logs.is_dir():
        shutil.rmtree(logs)
    logs.write_text("No logs are kept here: see local/engine/home.py.\n")


def _same(source: Path, link: Path) -> None:
    """Make `link` the same file as `source`, or the same content where there can be no hard link."""
    if link.exists():
        ours, theirs = link.stat(), source.stat()
        if (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns):
            return
    link.parent.mkdir(parents=True, exist_ok=True)
    partial = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        os.link(source, partial)
    except OSError:
        shutil.copy2(source, partial)
    partial.replace(link)


def _script(file: Path, text: str) -> None:
    if file.exists() and file.read_text() == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(text)
    partial.chmod(0o755)
    partial.replace(file)


def _passphrase(file: Path) -> Path:
    """Return a file that holds a random passphrase only its owner can read, made at the first call."""
    _private(file.parent)
    if not file.exists():
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_urlsafe(32))
        with suppress(FileExistsError):
            os.link(partial, file)  # the first of two that race wins: state would be lost with another passphrase
        partial.unlink()
    return file


def _private(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory
