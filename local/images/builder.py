"""Builds images with buildah, without a daemon and without a registry, from a Debian that debootstrap unpacks.

The layers live in a storage of our own in the cache; the user's is never touched. Every program runs in namespaces that die
with this process, so that a build killed at any point leaves no process and no mount behind.
"""

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from local import cache, command
from local.images import archive, host, recipe
from local.images.image import Image
from local.problem import Problem

_STORAGE = cache.ROOT / "buildah"
_LOGS = cache.ROOT / "logs" / "images"
_MORTAL = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"),
)
_NEEDED_BYTES = 4 * 1024**3
_SPACE = "free some space, or set PLATFORM_CACHE to a folder on a larger disk"


class Builder:
    """Makes archives of images. Only one process at a time has a Builder on the same cache: see `exclusive`."""

    def __init__(self, binaries: Path, scratch: Path, say: Callable[[str], None]) -> None:
        self._binaries = binaries
        self._scratch = scratch
        self._say = say
        self._locks = {name: threading.Lock() for name in (*recipe.NAMES, *recipe.BASES.values())}
        # Not the machine's policy file: one that insists on signatures would refuse what has just been built.
        self._policy = scratch / "policy.json"
        self._policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._storage = _open_storage()
        self._present = set(self._output("images", "--format", "{{.Name}}:{{.Tag}}").splitlines())

    def archive(self, image: Image, directory: Path) -> None:
        """Write the image's archive into `directory`."""
        started = time.monotonic()
        layers = self._layers(image.name, image.named, image.key)
        pushed = self._scratch / image.name / "pushed"
        pushed.mkdir(parents=True)
        # By its number: an archive carries every name its image has, and the one in our storage is nobody's business.
        number = self._output("images", "--quiet", "--no-trunc", layers)
        self._run(image.name, "push", "--disable-compression", "--format", "v2s2", number, f"dir:{pushed}")
        archive.write(pushed, directory, recipe.normalised(image.reference))
        shutil.rmtree(pushed)
        self._say(f"{image.name} built in {time.monotonic() - started:.0f} s")

    def forget(self) -> None:
        """Remove from our storage each image whose archive is gone, and each base that is not the current one."""
        bases = {
            f"localhost/{name}:{recipe.key(name, reference, self._binaries)}"
            for reference, name in recipe.BASES.items()
        }
        stale: list[str] = []
        for tag in self._present - bases:
            name, _, key = tag.removeprefix("localhost/").partition(":")
            if key not in ("unproven", "<none>") and not cache.has("images", name, key):
                stale.append(tag)
        if stale:
            self._output("rmi", *stale)

    def _layers(self, name: str, named: str, key: str) -> str:
        """Return the reference in our storage of the image with that key, building it and its bases if it is not there."""
        tag = f"localhost/{name}:{key}"
        with self._locks[name]:
            if tag not in self._present:
                self._build(recipe.read(name), f"localhost/{name}:unproven")
                # What was copied a moment later than it was read must not be kept under the key of what was read.
                if recipe.key(name, named, self._binaries) != key:
                    raise Problem(f"images/{name}: a file changed during the build; run the command again")
                self._output("tag", f"localhost/{name}:unproven", tag)
                self._present.add(tag)
        return tag

    def _build(self, what: recipe.Recipe, tag: str) -> None:
        bases = {
            reference: self._layers(name, reference, recipe.key(name, reference, self._binaries))
            for reference, name in what.froms.items()
        }
        # There is something only if a base failed and the next image that needs it tries again.
        shutil.rmtree(self._scratch / what.name, ignore_errors=True)
        context = self._scratch / what.name / "context"
        context.mkdir(parents=True)
        for source in what.sources:
            self._place(source, context / source)
        volumes = host.volumes(self._scratch / what.name, recipe.RELEASE)
        self._run(
            what.name,
            *("build", "--tag", tag, "--file", what.dockerfile, "--layers", "--format", "docker"),
            *("--isolation", "chroot", "--pull=never"),
            *(f"--volume={source}:{target}" for target, source in volumes.items()),
            *(f"--build-context={name}=container-image://{layers}" for name, layers in bases.items()),
            context,
        )
        for used in (context, *volumes.values()):
            shutil.rmtree(used)

    def _place(self, source: str, target: Path) -> None:
        """Put a file or folder into a build's context, readable by everyone in the image whatever this user's umask is."""
        if source == recipe.ROOT_FILESYSTEM:
            origin = cache.entry("images", "rootfs", recipe.RELEASE, self._unpack_debian) / "rootfs.tar"
        else:
            origin = recipe.origin(source, self._binaries)
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        else:
            shutil.copy2(origin, target)
        for path in (target, *target.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)

    def _unpack_debian(self, directory: Path) -> None:
        self._say("unpacking Debian with debootstrap, once")
        log = _LOGS / "debootstrap.log"
        root = directory / "root"
        source = host.mirror(recipe.RELEASE)
        _logged([*_MORTAL, "debootstrap", "--variant=minbase", recipe.RELEASE, root, source], log, directory)
        # What is this machine's own stays here: its package sources, name and resolver.
        local = (
            "etc/apt/sources.list",
            "etc/hostname",
            "etc/resolv.conf",
            "etc/machine-id",
            "dev/*",
            "proc/*",
            "sys/*",
        )
        exclude = [f"--exclude=./{path}" for path in (*local, "var/cache/apt/archives/*.deb", "var/lib/apt/lists/*")]
        packed = directory / "rootfs.tar"
        _logged(["tar", "--create", "--file", packed, "--numeric-owner", *exclude, "-C", root, "."], log, directory)
        shutil.rmtree(root)

    def _run(self, name: str, action: str, *arguments: str | Path) -> None:
        log = _LOGS / f"{name}.log"
        if action == "build":
            log.unlink(missing_ok=True)
        _logged([*self._storage, action, "--signature-policy", self._policy, *arguments], log, self._scratch)

    def _output(self, *arguments: str) -> str:
        return command.output([*self._storage, *arguments])


@contextmanager
def exclusive(binaries: Path, say: Callable[[str], None]) -> Generator[Builder]:
    """Give the one Builder of this cache; a second process waits, then finds the work done."""
    _check_machine()
    _STORAGE.mkdir(parents=True, exist_ok=True)
    with (_STORAGE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build on this machine to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        scratch = _STORAGE / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        yield Builder(binaries, scratch, say)
        shutil.rmtree(scratch)


def _logged(words: Sequence[str | Path], log: Path, scratch: Path) -> None:
    """Run a program; a full disk is said as what it is."""
    try:
        command.run(words, log=log, env={"TMPDIR": str(scratch)})
    except Problem as problem:
        if "no space left on device" in str(problem).lower():
            raise Problem(f"{cache.ROOT}: the disk is full; {_SPACE}, and run the command again") from problem
        raise


def _open_storage() -> tuple[str | Path, ...]:
    """Return buildah with the options for a storage that works here; what a killed build left in it is removed."""
    shutil.rmtree(_STORAGE / "run", ignore_errors=True)
    problems: list[str] = []
    for driver in ("overlay", "vfs"):
        root = _STORAGE / driver
        storage = (*_MORTAL, "buildah", "--root", root, "--runroot", _STORAGE / "run", "--storage-driver", driver)
        for _attempt in ("as it is", "emptied"):
            try:
                command.output([*storage, "rm", "--all"], timeout=300)
            except Problem as problem:
                problems.append(str(problem))
                shutil.rmtree(root, ignore_errors=True)
            else:
                return storage
    raise Problem("buildah finds no storage driver that works here:\n" + "\n".join(problems))


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise Problem(
            "building images needs root: run the command with sudo, or use a cluster that pulls (CONTEXT=NAME)"
        )
    for program in ("buildah", "debootstrap"):
        if shutil.which(program) is None:
            raise Problem(f"{program} is not installed: apt-get install {program}")
    cache.ROOT.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache.ROOT).free
    if free < _NEEDED_BYTES:
        raise Problem(
            f"{cache.ROOT}: {free / 1024**3:.1f} GiB free, and building the images takes {_NEEDED_BYTES // 1024**3} GiB; "
            f"{_SPACE}"
        )
