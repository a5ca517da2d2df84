"""The storage driver keeps to the CSI specification, as its official test suite reads it."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from local import toolchain

NOT_OFFERED = (
    "ControllerPublishVolume not supported",  # nothing is attached: the volume is on the node already
    "ControllerUnpublishVolume not supported",
    "Controller Publish, UnpublishVolume not supported",
    "ControllerModifyVolume not supported",  # there are no classes of volumes to change between
    "Modify volume not supported",
    "Modify Volume not supported",
    "GroupControllerService not supported",  # snapshots are of one volume each
)
"""Why the suite may skip a test: parts of the specification that are optional."""


@contextmanager
def driver(binaries: Path, folder: Path) -> Generator[str]:
    """Run the driver on an empty directory, and return its endpoint; it ends cleanly or the test fails."""
    endpoint = f"unix://{folder}/csi.sock"
    command = [binaries / "csi-hostpath", "--endpoint", endpoint, "--node-id=node", "--data-dir", folder / "data"]
    with (folder / "driver.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield endpoint
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0, (folder / "driver.log").read_text()


def test_the_csi_suite_passes(binaries: Path, tmp_path: Path) -> None:
    assert os.geteuid() == 0, "mounting needs root: run the tests as root"
    (tmp_path / "mount").mkdir()
    report = tmp_path / "report.xml"
    with driver(binaries, tmp_path) as endpoint:
        suite = subprocess.run(
            [
                binaries / "csi-sanity",
                f"--csi.endpoint={endpoint}",
                f"--csi.mountdir={tmp_path}/mount/target",
                f"--csi.stagingdir={tmp_path}/mount/staging",
                f"--csi.testvolumesize={2**30}",
                f"--csi.testvolumeexpandsize={2**31}",
                f"--ginkgo.junit-report={report}",
                "--ginkgo.no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert suite.returncode == 0, suite.stdout
    outcomes: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes[case.attrib["status"]] += 1
        skipped = case.find("skipped")
        if skipped is not None and case.attrib["status"] == "skipped":
            assert skipped.attrib["message"].removeprefix("skipped - ") in NOT_OFFERED, case.attrib["name"]
    # The suite's authors have one test of theirs switched off.
    assert outcomes == {"passed": 67, "skipped": 24, "pending": 1}
    assert not list((tmp_path / "data").glob("*/*"))


def test_what_the_csi_suite_does_not_cover() -> None:
    """Kills at any moment, damaged records, full disks, growth, snapshots under load: the driver's own tests in Go."""
    done = subprocess.run(
        ["go", "test", "-count=1", "-v", "./csi-hostpath"],
        cwd=toolchain.SOURCES / "kubernetes",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--- SKIP" not in done.stdout, done.stdout
    assert done.stdout.count("--- PASS: Test") >= 15
