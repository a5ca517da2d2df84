"""Progress says what, of how many, and how long; a step that fails is named and raised."""

import re
import threading
from collections.abc import Callable

import pytest

from local.problem import Problem
from local.steps import Steps

_TIME = r" *\d+\.\d s  "


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    shown = capfd.readouterr()
    assert shown.out == ""
    return shown.err.splitlines()


def test_a_step_says_what_of_how_many_and_how_long(capfd: pytest.CaptureFixture[str]) -> None:
    steps = Steps(2)

    def compile_it(say: Callable[[str], None]) -> int:
        say("module 1 of 3: kubernetes")
        return 7

    assert steps.run("tools", compile_it) == 7
    assert steps.run("node", lambda _say: "up") == "up"
    expected = [
        r"\[1/2\] tools",
        r"\[1/2\] tools: module 1 of 3: kubernetes",
        r"\[1/2\] tools: done in \d+\.\d s",
        r"\[2/2\] node",
        r"\[2/2\] node: done in \d+\.\d s",
    ]
    shown = lines(capfd)
    assert len(shown) == len(expected)
    for line, pattern in zip(shown, expected, strict=True):
        assert re.fullmatch(_TIME + pattern, line), line
    times = [float(line.split()[0]) for line in shown]
    assert times == sorted(times)
    assert steps.seconds >= times[-1] - 0.1


def test_a_step_beside_the_others_does_not_hold_them_up(capfd: pytest.CaptureFixture[str]) -> None:
    steps = Steps(2)
    go_on = threading.Event()
    beside = steps.start("images", lambda _say: go_on.wait(30))
    assert steps.run("tools", lambda _say: beside.done()) is False
    go_on.set()
    assert beside.result(30) is True
    shown = lines(capfd)
    assert sorted(line.partition("] ")[2].partition(":")[0] for line in shown) == ["images", "images", "tools", "tools"]
    assert {line.partition("[")[2].partition("/")[0] for line in shown} == {"1", "2"}


def test_a_step_that_fails_beside_the_others_is_named_at_once_and_raised_when_waited_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    steps = Steps(2)

    def fail(_say: Callable[[str], None]) -> None:
        raise Problem("buildah: exit code 1; the end of the log:\nmany\nlines")

    beside = steps.start("images", fail)
    assert isinstance(beside.exception(30), Problem)
    shown = lines(capfd)
    assert len(shown) == 2
    failed = r"\[1/2\] images: failed after \d+\.\d s: buildah: exit code 1; the end of the log:"
    assert re.fullmatch(_TIME + failed, shown[1]), shown
    steps.run("tools", lambda _say: None)
    with pytest.raises(Problem, match="buildah: exit code 1"):
        beside.result()


def test_a_step_that_fails_is_named_and_not_said_to_be_done(capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_say: Callable[[str], None]) -> None:
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        Steps(1).run("node", fail)
    shown = lines(capfd)
    assert re.fullmatch(_TIME + r"\[1/1\] node: failed after \d+\.\d s: no such thing", shown[-1])
    assert not [line for line in shown if "done" in line]


def test_a_step_that_takes_long_says_how_long_so_far(capfd: pytest.CaptureFixture[str]) -> None:
    reminded = threading.Event()

    class Watched(Steps):
        def say(self, text: str) -> None:
            super().say(text)
            if text.endswith("so far"):
                reminded.set()

    assert Watched(1, reminder=0.01).run("tools", lambda _say: reminded.wait(30))
    assert re.search(r"\[1/1\] tools: \d+ s so far", "\n".join(lines(capfd)))
