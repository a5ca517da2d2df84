"""What a build borrows from this machine: how it reaches its package registries. Nothing of it stays in an image.

The machine may use a mirror, a proxy or a certificate authority of its own. A build gets these as files mounted for its
duration; the Dockerfiles know none of it, and neither does this repository.
"""

import functools
import os
import re
import shutil
from pathlib import Path

from local import command
from local.problem import Problem

_CERTIFICATES = "certificates.crt"
_LISTS = Path("/var/lib/apt/lists")
_APT = Path("/etc/apt")
_PIP = Path("/etc/xdg/pip")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_APT_SETTINGS = re.compile(r"Acquire::(https?|socks|Retries|ForceIPv4|ForceIPv6)\b.*\S", re.IGNORECASE)
_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")


def mirror(release: str) -> str:
    """Return where this machine gets Debian from."""
    return next(address for address, suite in _sources(release) if suite == release)


def volumes(directory: Path, release: str) -> dict[Path, Path]:
    """Write the settings into `directory` and return, for each path inside a build, what to mount there."""
    apt, pip, lists = directory / "apt", directory / "pip", directory / "lists"
    for folder in ("apt.conf.d", "auth.conf.d", "preferences.d", "sources.list.d", "trusted.gpg.d"):
        (apt / folder).mkdir(parents=True)
    pip.mkdir()
    if (_APT / "auth.conf.d").is_dir():
        shutil.copytree(_APT / "auth.conf.d", apt / "auth.conf.d", dirs_exist_ok=True)
    sources = [f"deb [signed-by={_KEYRING}] {address} {suite} main\n" for address, suite in _sources(release)]
    (apt / "sources.list").write_text("".join(sources))
    settings = command.output(["apt-config", "dump", "--no-empty", "--format", '%F "%v";%n']).splitlines()
    settings = ['Acquire::Languages "none";', *filter(_APT_SETTINGS.match, settings)]
    pip_settings = ["[global]", *_pip_settings()]
    if trusted := _certificates():
        for folder in (apt, pip):
            shutil.copy(trusted, folder / _CERTIFICATES)
        settings.append(f'Acquire::https::CAInfo "{_APT / _CERTIFICATES}";')
        pip_settings.append(f"cert = {_PIP / _CERTIFICATES}")
    (apt / "apt.conf.d" / "host").write_text("\n".join([*settings, ""]))
    (pip / "pip.conf").write_text("\n".join([*pip_settings, ""]))
    # A copy of the machine's package lists: the build's own update then fetches only what is newer.
    shutil.copytree(_LISTS, lists, ignore=shutil.ignore_patterns("lock", "partial"))
    return {_APT: apt, _PIP: pip, _LISTS: lists}


def _sources(release: str) -> list[tuple[str, str]]:
    """Return (address, suite) of this release's archives, where this machine gets its own release's from."""
    shape = "$(COMPONENT) $(CODENAME) $(REPO_URI)"
    found: dict[tuple[str, str], None] = {}
    for line in command.output(["apt-get", "indextargets", "--format", shape, "Origin: Debian"]).splitlines():
        component, codename, address = line.split()
        _own, _, part = codename.partition("-")
        if component == "main" and part in ("", "updates", "security"):
            found[address, f"{release}-{part}".rstrip("-")] = None
    if not any(suite == release for _address, suite in found):
        raise Problem(f"apt knows no source of Debian on this machine: run apt-get update, or add one to {_APT}")
    return list(found)


def _certificates() -> Path | None:
    """Return the certificate authorities that this machine trusts, in one file."""
    named = [os.environ.get(name) for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")]
    for file in (*named, "/etc/ssl/certs/ca-certificates.crt"):
        if file and Path(file).is_file():
            return Path(file)
    return None


@functools.cache
def _pip_settings() -> tuple[str, ...]:
    """Return what this machine's own pip is told about its index: by variables first, then by its files."""
    found: dict[str, str] = {}
    if shutil.which("pip3"):
        for line in command.output(["pip3", "config", "list"]).splitlines():
            name, _, value = line.partition("=")
            found[name.rpartition(".")[2]] = value.strip("'\"")
    for name in _PIP_SETTINGS:
        if value := os.environ.get(f"PIP_{name.upper().replace('-', '_')}"):
            found[name] = value
    return tuple(f"{name} = {found[name]}" for name in _PIP_SETTINGS if name in found)
