"""The supervisor with real processes: what dies comes back, what runs is adopted, what fails is named."""

import os
import signal
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from local.node import supervisor
from local.node.daemon import Daemon, wait_for
from local.node.processes import Process
from local.node.procfs import Record, start_time
from local.node.report import Report, Statement
from local.problem import Problem

SLEEP = Process(name="sleep", command=("/bin/sleep", "600"))
TIMEOUT = 10.0


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon]:
    made = Daemon(
        run=tmp_path / "run",
        processes=tmp_path / "processes.json",
        logs=tmp_path / "logs",
        authority=tmp_path / "ca",
        patience=0.2,
    )
    yield made
    made.stop(TIMEOUT)


def up(daemon: Daemon, *processes: Process) -> str:
    digest = daemon.apply(processes)
    daemon.wait(digest, TIMEOUT)
    return digest


def report(daemon: Daemon, name: str) -> Report:
    return next(report for report in Statement.read(daemon.run).reports if report.name == name)


def replaced(daemon: Daemon, name: str, old: int) -> bool:
    now = report(daemon, name)
    return now.state == "ready" and now.alive and now.pid != old


def supervisor_of(daemon: Daemon) -> Record:
    record = supervisor.running(daemon.run)
    assert record
    return record


def test_a_killed_process_comes_back(daemon: Daemon) -> None:
    up(daemon, SLEEP)
    old = report(daemon, "sleep").pid
    os.kill(old, signal.SIGKILL)
    assert wait_for(lambda: replaced(daemon, "sleep", old), TIMEOUT)
    assert report(daemon, "sleep").restarts == 1


def test_a_new_supervisor_adopts_what_the_killed_one_left(daemon: Daemon) -> None:
    digest = up(daemon, SLEEP)
    child, first = report(daemon, "sleep").pid, supervisor_of(daemon)
    os.kill(first.pid, signal.SIGKILL)
    assert wait_for(lambda: not first.alive, TIMEOUT)
    up(daemon, SLEEP)
    assert supervisor_of(daemon).pid != first.pid
    assert report(daemon, "sleep").pid == child
    os.kill(child, signal.SIGKILL)
    assert wait_for(lambda: replaced(daemon, "sleep", child), TIMEOUT), "an adopted process is watched, too"
    assert Statement.read(daemon.run).digest == digest


def test_a_process_that_died_while_nobody_watched_is_started(daemon: Daemon) -> None:
    up(daemon, SLEEP)
    child, first = report(daemon, "sleep").pid, supervisor_of(daemon)
    os.kill(first.pid, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    assert wait_for(lambda: not first.alive and start_time(child) is None, TIMEOUT)
    up(daemon, SLEEP)
    assert report(daemon, "sleep").pid != child


def test_guard_and_supervisor_bring_each_other_back(daemon: Daemon) -> None:
    up(daemon, SLEEP, daemon.guard)
    child, first = report(daemon, "sleep").pid, supervisor_of(daemon)
    os.kill(first.pid, signal.SIGKILL)
    assert wait_for(lambda: (now := supervisor.running(daemon.run)) is not None and now.pid != first.pid, TIMEOUT)
    assert report(daemon, "sleep").pid == child
    guard = report(daemon, "guard").pid
    os.kill(guard, signal.SIGKILL)
    assert wait_for(lambda: replaced(daemon, "guard", guard), TIMEOUT)


def test_applying_the_same_table_again_changes_nothing(daemon: Daemon) -> None:
    up(daemon, SLEEP, daemon.guard)
    before = Statement.read(daemon.run), supervisor_of(daemon)
    up(daemon, SLEEP, daemon.guard)
    assert (Statement.read(daemon.run), supervisor_of(daemon)) == before


def test_only_what_changed_is_restarted_and_what_left_is_stopped(daemon: Daemon) -> None:
    other, third = replace(SLEEP, name="other"), replace(SLEEP, name="third")
    up(daemon, SLEEP, other, third)
    old = {name: report(daemon, name).pid for name in ("sleep", "other", "third")}
    up(daemon, SLEEP, replace(other, command=("/bin/sleep", "601")))
    assert report(daemon, "sleep").pid == old["sleep"]
    assert report(daemon, "other").pid != old["other"]
    assert start_time(old["third"]) is None


def test_a_failing_process_is_named_with_the_end_of_its_log(daemon: Daemon) -> None:
    failing = Process(
        name="broken", command=("/bin/sh", "-c", "echo 'flag --colour is unknown'; exit 3"), ready="unix:///nowhere"
    )
    digest = daemon.apply([SLEEP, failing])
    with pytest.raises(Problem, match=r"broken: it has ended \d+ times in a row(.|\n)*flag --colour is unknown"):
        daemon.wait(digest, 60)
    assert report(daemon, "sleep").state == "ready"
    assert [line for line in Statement.read(daemon.run).problems if line.startswith("broken: ")]


def test_a_program_that_does_not_exist_is_named(daemon: Daemon) -> None:
    digest = daemon.apply([Process(name="absent", command=("/nonexistent/program",), ready="unix:///nowhere")])
    with pytest.raises(Problem, match="/nonexistent/program"):
        daemon.wait(digest, 60)


def test_a_process_waits_for_those_it_needs(daemon: Daemon, tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    serve = (
        f"import socket, time; s = socket.socket(socket.AF_UNIX); s.bind({str(socket)!r});"
        "time.sleep(1); s.listen(); time.sleep(600)"
    )
    server = Process(name="server", command=(sys.executable, "-c", serve), ready=f"unix://{socket}")
    daemon.apply([server, replace(SLEEP, after=("server",))])
    assert wait_for(lambda: any(one.name == "sleep" for one in Statement.read(daemon.run).reports), TIMEOUT)
    assert report(daemon, "sleep").problem == "waits for server"
    assert wait_for(lambda: report(daemon, "sleep").state == "ready", TIMEOUT)
    assert report(daemon, "server").state == "ready"


def test_stop_ends_everything_even_what_ignores_being_asked(daemon: Daemon) -> None:
    stubborn = Process(name="stubborn", command=("/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"))
    up(daemon, SLEEP, stubborn, daemon.guard)
    running = [report.pid for report in Statement.read(daemon.run).reports]
    daemon.stop(TIMEOUT)
    assert supervisor.running(daemon.run) is None
    assert [pid for pid in running if start_time(pid) is not None] == []


def test_a_supervisor_of_older_code_is_replaced_and_its_processes_stay(daemon: Daemon) -> None:
    up(daemon, SLEEP)
    child, first = report(daemon, "sleep").pid, supervisor_of(daemon)
    replace(first, digest="older").write(daemon.run / "supervisor.json")
    up(daemon, SLEEP)
    assert supervisor_of(daemon).pid != first.pid
    assert not first.alive
    assert report(daemon, "sleep").pid == child


def test_a_record_of_another_process_with_the_same_id_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    Record(os.getpid(), (start_time(os.getpid()) or 0) - 1, "").write(file)
    assert Record.read(file) is None
    file.write_text("[1")
    assert Record.read(file) is None


def test_the_supervisor_passes_nothing_of_its_callers_environment_on(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "canary-of-the-caller")
    up(daemon, SLEEP)
    for pid in (report(daemon, "sleep").pid, supervisor_of(daemon).pid):
        assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()
