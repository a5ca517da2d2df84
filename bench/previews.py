"""What the components cost, and how that grows: previews of whole stacks, without a cluster."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import flat
from bench.results import ROOT, Result, timed
from local import toolchain
from local.engine import Engine
from local.packages import virtual_environment
from local.problem import Problem

_RATIO = 1.5
_ROUNDS = 8
_COUNTS = (1, 10, 50)
_NOISE = 1.15
"""How much dearer a workload may look among many than among few, for the noise of a busy machine. What grows faster than
linearly is beyond: n log n would be 1.7; the Python collector's full passes, while the language host left them on, 1.3."""


def against_flat() -> list[Result]:
    """Preview prod, and the flat program of the same resources, in turns."""
    with state() as scratch:
        ours = engine(ROOT, "prod")
        ours.render(scratch / "rendered")
        root = ROOT / "build" / "flat"
        flat.write(ours, scratch / "rendered", root)
        theirs = engine(root, "prod")
        _same(ours, theirs)
        prod, plain = best([ours.preview, theirs.preview])
    parts = {"the same resources in a flat program": plain}
    return [Result("preview of prod", prod, _RATIO * plain, parts, f"{prod / plain:.2f} times the flat program")]


def growth() -> list[Result]:
    """Preview 1, 10 and 50 workloads: one more may not cost more among many than among few."""
    with state() as scratch:
        root = scratch / "scale"
        root.mkdir()
        for file in (*(ROOT / "bench" / "scale").glob("*.*"), ROOT / "components"):
            (root / file.name).symlink_to(file)
        engines = [engine(root, "bench", {"scale:workloads": count}) for count in _COUNTS]
        times = best([each.preview for each in engines])
    few, some, many = times
    each = (some - few) / (_COUNTS[1] - _COUNTS[0])
    limit = some + _NOISE * each * (_COUNTS[2] - _COUNTS[1])
    parts = {f"{count} of them": seconds for count, seconds in zip(_COUNTS, times, strict=True)}
    later = (many - some) / (_COUNTS[2] - _COUNTS[1])
    note = f"each further workload: {each:.3f} s up to {_COUNTS[1]}, {later:.3f} s up to {_COUNTS[2]}"
    return [Result(f"preview of {_COUNTS[2]} workloads", many, limit, parts, note)]


def best(previews: Sequence[Callable[[], None]]) -> list[float]:
    """Return the best time of each, run in turns after a first round that compiles: noise only ever adds."""
    rounds: list[list[float]] = []
    with _silent():
        for _ in range(1 + _ROUNDS):
            rounds.append([timed(preview) for preview in previews])  # noqa: PERF401 - a statement for each round
    return [min(times) for times in zip(*rounds[1:], strict=True)]


def engine(root: Path, stack: str, config: dict[str, object] | None = None) -> Engine:
    """Return the engine for a stack's previews."""
    binaries = toolchain.build(print, toolchain.ENGINE)
    return Engine(binaries=binaries, venv=virtual_environment(), root=root, stack=stack, config=config or {})


def _same(ours: Engine, theirs: Engine) -> None:
    """Raise Problem unless both programs make the same resources, but for components."""
    counted = [Counter(_type(change.urn) for change in each.changes()) for each in (ours, theirs)]
    components = Counter({kind: count for kind, count in counted[0].items() if kind.startswith("platform:")})
    if counted[0] - components != counted[1]:
        raise Problem(f"the flat program differs from prod: {counted[0] - components} against {counted[1]}")


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


@contextmanager
def state() -> Generator[Path]:
    """Keep away from the user's state and settings of the engine; give a directory for what is needed meanwhile."""
    mine = dict(os.environ)
    with tempfile.TemporaryDirectory() as name:
        for variable in mine:
            if variable.startswith(("PULUMI_", "KUBE")):
                del os.environ[variable]
        os.environ["XDG_STATE_HOME"] = name
        try:
            yield Path(name)
        finally:
            os.environ.clear()
            os.environ.update(mine)


@contextmanager
def _silent() -> Generator[None]:
    """Send what the engine prints nowhere: a terminal's speed is not what is measured."""
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
