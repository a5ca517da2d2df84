"""What the policy pack costs: judging objects as the engine has them judged, and what it adds to a preview."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.previews import best, engine, state
from bench.results import ROOT, Result, timed
from tests.policies.servicer import Manifest, Pack

_COUNT, _ROUNDS = 500, 3
_JUDGING, _RATIO = 3, 1.25


def cost() -> list[Result]:
    """Judge 500 objects by all rules, each alone and then all together; preview prod with the policies and without."""
    with state() as scratch:
        prod = engine(ROOT, "prod")
        prod.render(scratch / "rendered")
        judging = _judging(_read(scratch / "rendered"))
        without, under = best([prod.preview, lambda: prod.preview(policy_pack=ROOT / "policies")])
    parts, note = {"without them": without}, f"{under / without:.2f} times"
    return [judging, Result("preview of prod under its policies", under, _RATIO * without, parts, note)]


def _judging(manifests: Sequence[Manifest]) -> Result:
    """Return the best of some rounds, each of objects that were not seen before: those are read once."""
    rounds = list[tuple[float, float]]()
    pack = Pack("prod")
    for number in range(_ROUNDS):
        many = [_renamed(manifests[n % len(manifests)], f"{number}-{n}") for n in range(_COUNT)]

        def alone(many: Sequence[Manifest] = many) -> None:
            for manifest in many:
                pack.analyze(manifest)

        def together(many: Sequence[Manifest] = many) -> None:
            pack.analyze_stack(many)

        rounds.append((timed(alone), timed(together)))
    each, whole = min(rounds, key=sum)
    rules = len(pack.servicer.GetAnalyzerInfo(None, None).policies)
    parts = {"each by itself": each, "all together": whole}
    return Result(f"policies, {_COUNT} objects", each + whole, _JUDGING, parts, f"{rules} rules")


def _renamed(manifest: Manifest, suffix: str) -> Manifest:
    renamed = copy.deepcopy(manifest)
    renamed["metadata"]["name"] += f"-{suffix}"
    return renamed


def _read(rendered: Path) -> list[Manifest]:
    files = sorted(rendered.rglob("*.yaml"))
    return [_loaded(file.read_text()) for file in files]


def _loaded(text: str) -> Any:
    return yaml.load(text, yaml.CSafeLoader)
