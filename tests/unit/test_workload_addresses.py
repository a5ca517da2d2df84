# ruff: noqa: RUF001 - full-width and circled characters are what is tested
"""What a stranger can make the scraper call: public web servers only, whatever way the address is written or resolved."""

import socket
import threading
import time

import pytest

from workload.app.addresses import Guard, Refused, Unresolved

PUBLIC = "93.184.216.34"


def never(host: str) -> list[str]:
    raise AssertionError(f"{host} was looked up although its text is refused")


FORBIDDEN_TEXTS = [
    # not what we fetch
    "", "example.org", "//example.org/", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "javascript:alert(1)",
    "http://", "http:///path", "http://:80/", "https://user:secret@example.org/", "http://user@example.org/", "http://@example.org/",
    # two meanings
    "http://example.org\\@127.0.0.1/", "http://exa mple.org/", "http://example.org/\r\nHost: x", "http://exam\tple.org/", "\x00http://example.org/",
    "http://example.org:99999/", "http://example.org:port/", "http://[::1/", "http://ex_ample..org/", "http://a%2eb.org/", "http://" + "a" * 64 + ".org/",
    "http://example.org/" + "a" * 2048,
    # names of ours
    "http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://a.localhost/", "http://postgres/", "http://postgres.data.svc/",
    "http://postgres.data.svc.cluster.local/", "http://postgres.data.svc.cluster.local./", "http://API.APP.SVC.CLUSTER.LOCAL/",
    "http://metadata.google.internal/", "http://printer.local/", "http://router.lan/", "http://nas.home.arpa/",
    "http://ｌｏｃａｌｈｏｓｔ/", "http://postgres.data.svc。cluster。local/",
    # other ports
    "http://example.org:22/", "https://example.org:6379/", "http://example.org:0/", "http://example.org:8080/",
    # IPv4, as it is
    "http://127.0.0.1/", "http://127.255.255.254/", "http://10.96.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://169.254.169.254/",
    "http://100.64.0.1/", "http://0.0.0.0/", "http://0.1.2.3/", "http://224.0.0.1/", "http://240.0.0.1/", "http://255.255.255.255/",
    "http://192.0.0.8/", "http://192.0.2.1/", "http://198.18.0.1/", "http://198.51.100.1/", "http://203.0.113.1/", "http://192.88.99.1/",
    "http://127.0.0.1./",
    # IPv4, disguised: decimal, octal, hexadecimal, short, full-width, circled; of public addresses too
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.0x0.0x0.0x1/", "http://0177.0.0.1/", "http://017700000001/", "http://127.1/",
    "http://127.0.1/", "http://0/", "http://010.0.0.1/", "http://１２７.０.０.１/", "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/",
    "http://134744072/", "http://8.8.2056/", "http://1.2.3.4.5/", "http://999.1.1.1/", "http://4294967297/",
    # IPv6
    "http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::ffff:8.8.8.8]/",
    "http://[::127.0.0.1]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[fec0::1]/", "http://[fc00::1]/", "http://[fd12:3456::1]/",
    "http://[ff02::1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::1]/", "http://[2002:7f00:1::1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "http://[2001:db8::1]/", "http://[3fff::1]/", "http://[4000::1]/", "http://[100::1]/",
    "http://[2606:4700::1111%25eth0]/", "http://[v1.fe80::a+en1]/",
]  # fmt: skip


@pytest.mark.parametrize("url", FORBIDDEN_TEXTS)
def test_forbidden_by_its_text(url: str) -> None:
    with pytest.raises(Refused):
        Guard(lookup=never).target(url)


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTPS://Example.ORG./a?b=c#d", "https://example.org/a?b=c"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("https://bücher.example/ü?q=ä", "https://xn--bcher-kva.example/%C3%BC?q=%C3%A4"),
        ("https://example.org/%C3%BC%2F", "https://example.org/%C3%BC%2F"),
        ("http://93.184.216.34/", "http://93.184.216.34/"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://[64:ff9b::808:808]/", "https://[64:ff9b::808:808]/"),
    ],
)
def test_public_urls_pass_in_normal_form(url: str, normal: str) -> None:
    assert str(Guard(lookup=never).target(url)) == normal


FORBIDDEN_ANSWERS = [
    "127.0.0.1", "10.96.0.10", "10.244.0.7", "192.168.0.1", "172.31.255.255", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "fe80::1%eth0", "fd00::1", "ff02::1", "64:ff9b::a00:1", "2002:a00:1::",
]  # fmt: skip


@pytest.mark.parametrize("answer", FORBIDDEN_ANSWERS)
@pytest.mark.parametrize("place", ["alone", "first", "last"])
def test_forbidden_by_its_dns_answer(answer: str, place: str) -> None:
    answers = {"alone": [answer], "first": [answer, PUBLIC], "last": [PUBLIC, answer]}[place]
    with pytest.raises(Refused):
        Guard(lookup=lambda _: answers).addresses("example.org", 1)


def test_public_dns_answers_pass() -> None:
    answers = [PUBLIC, "2606:4700::1"]
    assert Guard(lookup=lambda _: answers).addresses("example.org", 1) == answers


def test_an_allowed_host_may_be_private_but_only_by_its_exact_name() -> None:
    guard = Guard(frozenset({"site.test.svc.cluster.local"}), lambda _: ["10.96.3.4"])
    assert guard.target("http://Site.test.svc.cluster.local:8080/").port == 8080
    assert guard.addresses("site.test.svc.cluster.local", 1) == ["10.96.3.4"]
    for url in (
        "http://x.site.test.svc.cluster.local/",
        "http://site.test.svc.cluster.local.example.svc/",
        "http://10.96.3.4/",
    ):
        with pytest.raises(Refused):
            guard.target(url)
    with pytest.raises(Refused):
        guard.addresses("site.test", 1)


@pytest.mark.parametrize("answer", ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1%eth0"])
def test_an_allowed_host_is_never_the_metadata_service(answer: str) -> None:
    guard = Guard(frozenset({"site"}), lambda _: [answer])
    with pytest.raises(Refused):
        guard.addresses("site", 1)


def test_an_allowed_host_has_no_credentials_and_no_other_scheme() -> None:
    for url in ("http://user:secret@site/", "ftp://site/"):
        with pytest.raises(Refused):
            Guard(frozenset({"site"}), never).target(url)


def test_a_name_without_an_address_may_be_tried_again() -> None:
    def fails(host: str) -> list[str]:
        raise socket.gaierror(host)

    with pytest.raises(Unresolved):
        Guard(lookup=fails).addresses("example.org", 1)


def test_a_silent_name_server_costs_no_more_than_its_time() -> None:
    silent = threading.Event()
    started = time.monotonic()
    with pytest.raises(Unresolved, match="in time"):
        Guard(lookup=lambda _: [str(silent.wait(30))]).addresses("example.org", 0.1)
    assert time.monotonic() - started < 5
    silent.set()
