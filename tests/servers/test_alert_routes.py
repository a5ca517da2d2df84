"""Where the policy pack says that an alert goes is where Alertmanager's own amtool says that it goes."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import pytest
import yaml

from local import toolchain
from policies.alert_routes import outcomes, read
from tests.policies.route_trees import labels, tree, written

TREES = 100
ALERTS = 3  # for each tree


@pytest.fixture(scope="module")
def amtool() -> Path:
    """Return the program, built if the cache lacks it; a Problem that says why fails the test."""
    return toolchain.build(print, [toolchain.ALERTMANAGER]) / "amtool"


def asked(amtool: Path, config: Path, given: list[str]) -> set[str]:
    command = [amtool, "config", "routes", "test", f"--config.file={config}", *given]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.strip().split(","))


@pytest.mark.parametrize("part", range(4))
def test_an_alert_goes_where_amtool_says(amtool: Path, tmp_path: Path, part: int) -> None:
    random = Random(part)
    with ThreadPoolExecutor(2) as threads:
        for number in range(TREES // 4):
            config = tree(random)
            file = tmp_path / f"{number}.yml"
            file.write_text(yaml.safe_dump(config))
            alerts = [labels(random) for _ in range(ALERTS)]
            theirs = threads.map(partial(asked, amtool, file), map(written, alerts))
            for given, told in zip(alerts, theirs, strict=True):
                assert outcomes(read(config["route"]), given, whole=True) == {frozenset(told)}, (config, given)
