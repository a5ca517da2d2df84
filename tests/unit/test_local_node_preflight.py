"""What stops `up` before it changes anything, and what it says then."""

import os
import socket
from pathlib import Path

import pytest

from local.node import preflight
from local.node.layout import DEBIAN_PACKAGES
from local.node.processes import Process
from local.problem import Problem


def test_a_port_in_use_is_named_with_the_process_that_holds_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            Problem, match=rf"port {port}, which toy needs, is in use by process {os.getpid()} \(.*python"
        ):
            preflight.ports({"toy": [port]})
    preflight.ports({"toy": [port]})


def test_a_port_in_use_on_ipv6_only_counts() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server, pytest.raises(Problem, match="in use"):
        preflight.ports({"toy": [server.getsockname()[1]]})


def test_without_root_it_says_so_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Problem, match=r"needs root.*CONTEXT=NAME"):
        preflight.check()


def test_a_missing_program_of_ours_is_named_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_PROGRAMS", {})
    process = Process(name="kubelet", command=(str(tmp_path / "kubelet"),))
    with pytest.raises(Problem, match=rf"missing program {tmp_path}/kubelet.*make up"):
        preflight.programs([process], tmp_path)


def test_missing_debian_packages_are_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_PROGRAMS", {"no-such-program": "etcd-server", "also-none": "runc", "sh": "dash"})
    with pytest.raises(Problem, match="apt-get install --no-install-recommends etcd-server runc "):
        preflight.programs([], tmp_path)


def test_every_program_comes_from_a_package_that_is_installed() -> None:
    assert set(preflight._PROGRAMS.values()) <= set(DEBIAN_PACKAGES)
