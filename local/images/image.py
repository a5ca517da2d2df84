"""A built image."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the cache: `archive` is a folder in the OCI layout, `reference` what a pod says to run it.

    `name` is its folder under `images/` and `named` what the versions file calls it. Where the two references differ,
    `reference` carries the content's key in its tag; upstream's names are kept as they are.
    """

    name: str
    reference: str
    archive: Path
    named: str
    key: str
