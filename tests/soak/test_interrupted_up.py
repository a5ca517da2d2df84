"""`make up` is killed, with everything it started, at one moment after another; the next one always gets there."""

import os
import signal
import subprocess
import sys

import pytest

from tests.cluster.conftest import STACK, Platform, eventually, local
from tests.render import ROOT

MOMENTS = (1, 3, 6, 10, 15, 20, 25, 30, 40, 50)  # seconds: from the checks to the last Deployment


@pytest.mark.parametrize("seconds", MOMENTS)
def test_a_killed_up_is_followed_by_one_that_gets_there(platform: Platform, seconds: int) -> None:
    local("down", "--stack", STACK)
    command = [sys.executable, "-m", "local", "up", "--stack", STACK]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as up:
        try:
            up.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(up.pid, signal.SIGKILL)
    done = local("up", "--stack", STACK)
    assert f"The {STACK} stack is up" in done.stdout
    assert eventually("the page is served", lambda: platform.call("/")[0] == 200)
    assert platform.engine().changes() == []
