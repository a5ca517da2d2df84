"""What is read from a page, and that no page can keep a worker busy."""

import time
from contextlib import suppress

import pytest

from workload.app.addresses import Refused
from workload.app.extract import MAX_LINKS, MAX_TITLE, extract
from workload.app.fetch import Page
from workload.app.jobs import Extract


def read(body: bytes | str, content_type: str = "text/html") -> Extract:
    return extract(
        Page("https://example.org/a/b", 200, content_type, body if isinstance(body, bytes) else body.encode())
    )


def test_title_links_and_words() -> None:
    found = read(
        "<html><head><title> A \n title </title><style>p { color: red }</style></head><body><p>one <b>two</b></p>"
        "<script>three()</script><a href='c#x'>four</a><a href='c'>four</a><a href='//cdn.example/'>five</a>"
        "<a href='mailto:x@example.org'>six</a><a href='javascript:x'>seven</a><a>eight</a><a href='http://[bad'>nine</a>"
    )
    assert found.title == "A title"
    assert found.links == ["https://example.org/a/c", "https://cdn.example/"]
    assert found.words == 9  # one two four four five six seven eight nine


@pytest.mark.parametrize("count", [1, 1000, 5000])
def test_a_word_is_counted_once_wherever_the_pieces_are_cut(count: int) -> None:
    assert read("<p>" + "word " * count + "<p>" + "x" * 10_000).words == count + 1


def test_plain_text_has_words_only() -> None:
    assert read("a <b> c", "text/plain; charset=utf-8") == Extract(title="", links=[], words=3)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<title>Grüße</title>".encode("latin-1"), "text/html; charset=ISO-8859-1"),
        ("<meta charset='windows-1252'><title>Grüße</title>".encode("cp1252"), "text/html"),
        ("<title>Grüße</title>".encode(), "text/html"),
        ("<title>Grüße</title>".encode(), "text/html; charset=punycode"),
        ("<title>Grüße</title>".encode(), "text/html; charset=no-such-thing"),
    ],
)
def test_charsets(body: bytes, content_type: str) -> None:
    assert read(body, content_type).title == "Grüße"


def test_what_postgres_cannot_store_is_left_out() -> None:
    found = read("<title>a\x00b</title><a href='/x\x00y'>z</a>")
    assert "\x00" not in found.title + "".join(found.links)


def test_results_are_bounded() -> None:
    found = read("<title>" + "t" * 5000 + "</title>" + "".join(f"<a href='/{n}'>x</a>" for n in range(2 * MAX_LINKS)))
    assert (len(found.title), len(found.links)) == (MAX_TITLE, MAX_LINKS)


@pytest.mark.parametrize(
    "piece", ["<a ", "<!--", "<![CDATA[", "<?", "</", "&", "<a href=\"", "<script>", "<!doctype ", "<p", "<" * 3, "<a b='c' ", "&#"]
)  # fmt: skip
def test_no_page_takes_long(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workload.app.extract.SECONDS", 0.5)
    started = time.monotonic()
    with suppress(Refused):
        read(piece * (1_000_000 // len(piece)))
    assert time.monotonic() - started < 5
