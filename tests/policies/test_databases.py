"""What the servers are told, taken apart as they take it apart."""

from typing import Any

import pytest

from policies.databases import Access, Command, accesses, commands

Words = list[str]


def access(line: str) -> list[Access]:
    return accesses({"postgresql": {"pg_hba": [line]}})


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("local all postgres peer", Access("local", "all", "postgres", "", "peer")),
        ("hostssl a,b +c 10.0.0.0/8 cert map=x", Access("hostssl", "a,b", "+c", "10.0.0.0/8", "cert")),
        ("host all all 10.0.0.0 255.0.0.0 trust", Access("host", "all", "all", "10.0.0.0", "trust")),
        ("host all all ::1 ffff:: md5", Access("host", "all", "all", "::1", "md5")),
        ('hostssl "all # x" all samenet reject # no', Access("hostssl", "all # x", "all", "samenet", "reject")),
        ("include more.conf", Access("include", "", "", "", "")),
    ],
)
def test_a_line_of_access_is_read(line: str, read: Access) -> None:
    assert access(line) == [read]


def test_comments_are_no_lines_of_access() -> None:
    assert access("# host all all all trust") == access("  ") == []


def found(kind: str = "StatefulSet", **container: Any) -> list[Command]:
    manifest = {"kind": kind, "spec": {"template": {"spec": {"containers": [container]}}}}
    return [command for _container, command in commands(manifest, "redis-server")]


@pytest.mark.parametrize(
    ("words", "files", "options"),
    [
        (["redis-server"], (), {}),
        (["/usr/bin/redis-server", "/etc/a.conf", "--port", "0"], ("/etc/a.conf",), {"port": "0"}),
        (["redis-server", "--port=0", "--dir", "/a"], (), {"port": "0", "dir": "/a"}),
        (["sh", "-c", "x &\nexec redis-server --port 0 \\\n  --dir '/a b'\n"], (), {"port": "0", "dir": "/a b"}),
        (["sh", "-c", 'exec "$@"', "start", "redis-server", "--port", "0"], (), {"port": "0"}),
        (["sh", "-c", 'redis-server "$@"', "start", "--port", "0"], (), {"port": "0"}),
        (["redis-server", "--save", "", "--port", "1", "--port", "0"], (), {"save": "", "port": "0"}),
    ],
)
def test_a_command_line_is_read_wherever_it_is(words: Words, files: tuple[str, ...], options: dict[str, str]) -> None:
    path = "spec.template.spec.containers[0]"
    assert Command(path, files, options) in found(args=words)


def test_an_image_whose_command_line_is_its_own_has_no_option() -> None:
    assert [command.options for command in found(image="registry.example:5000/redis:7@sha256:0")] == [{}]


def test_clients_and_what_runs_once_are_no_servers() -> None:
    assert found(image="a/tools:1", args=["redis-cli", "ping"]) == []
    assert found("Job", args=["redis-server"]) == []
