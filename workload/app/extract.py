"""What a page says: its title, links and number of words. Pages are hostile, so the time to read one is bounded."""

import re
import time
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from workload.app.addresses import MAX_URL_LENGTH, Refused
from workload.app.fetch import Page
from workload.app.jobs import Extract

MAX_TITLE = 300
MAX_LINKS = 500
SECONDS = 5.0
CHUNK = 4096
UNSEEN = frozenset({"script", "style", "template", "noscript"})
# Python's other codecs include some that take quadratic time on bad input; these are the ones that the web uses.
CHARSETS = re.compile(
    r"utf-?(8|16)|us-ascii|iso-8859-\d{1,2}|windows-125\d|koi8-[ru]|shift_jis|euc-(jp|kr)|gb(k|2312|18030)|big5"
)
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9_-]+)")


class _Reader(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.links: dict[str, None] = {}
        self.words = 0
        self._base = base
        self._unseen = 0
        self._in_title = False
        self._in_word = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_word = False
        if tag in UNSEEN:
            self._unseen += 1
        elif tag == "title":
            self._in_title = not self.title
        elif tag == "a":
            self._link(dict(attrs).get("href"))

    def handle_endtag(self, tag: str) -> None:
        self._in_word = False
        if tag in UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "title":
            self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            if len(self.title) < MAX_TITLE:
                self.title += data
        elif not self._unseen and data:
            # The parser hands over text at the end of each piece: a word cut there is one word.
            self.words += len(data.split()) - (self._in_word and not data[0].isspace())
            self._in_word = not data[-1].isspace()

    def _link(self, reference: str | None) -> None:
        if not reference or len(self.links) >= MAX_LINKS:
            return
        try:
            link = urljoin(self._base, reference.strip()).partition("#")[0]
            is_page = urlsplit(link).scheme in ("http", "https")
        except ValueError:
            return  # a malformed reference is no link
        if is_page and len(link) <= MAX_URL_LENGTH:
            self.links[link.replace("\x00", "")] = None


def extract(page: Page) -> Extract:
    """Return what the page says, or raise `Refused` for a page that takes too long to read."""
    deadline = time.monotonic() + SECONDS
    text = _decoded(page)
    if page.content_type.lower().startswith("text/plain"):
        return Extract(title="", links=[], words=len(text.split()))
    reader = _Reader(page.url)
    # In pieces, and without close(): html.parser can be quadratic in the length of an unfinished tag, in a single call.
    for start in range(0, len(text), CHUNK):
        reader.feed(text[start : start + CHUNK])
        if time.monotonic() > deadline:
            raise Refused("the page is too tangled to read")
    reader.feed("<p>")  # lets go of the text that a later piece might have continued
    title = " ".join(reader.title.replace("\x00", "").split())[:MAX_TITLE]
    return Extract(title=title, links=list(reader.links), words=reader.words)


def _decoded(page: Page) -> str:
    named = _CHARSET.search(page.content_type) or _CHARSET.search(page.body[:1024].decode("ascii", "replace"))
    charset = named.group(1).lower() if named else "utf-8"
    return page.body.decode(charset if CHARSETS.fullmatch(charset) else "utf-8", "replace")
