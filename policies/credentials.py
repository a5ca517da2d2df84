"""Whether a text looks like a credential. A guess: it knows names, shapes and randomness, and never the secrets themselves.

What is secret and comes in another form is not found: a part of it, its hash, or two layers of encoding.
"""

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

_ENDS = ("password", "passwd", "pass", "pwd", "passphrase", "secret", "token", "credentials?", "apikey")
_KEYS = ("api", "access", "private", "secret", "encryption", "signing", "master", "root")  # before `key`


def _word(words: Sequence[str]) -> tuple[str, str]:
    """Return the patterns of a word with which another one begins in a name: `password` or `dbPassword`, and `DB_PASSWORD`."""
    small = "|".join(words)
    titled = "|".join(word.capitalize() for word in words)
    return rf"(?:(?:\b|[\d_])(?:{small})|(?:{titled}))", rf"(?:\b|[\d_a-z])(?:{small.upper()})"


# All patterns are such as CEL has too: they look neither ahead nor behind. So a search has a second pattern, of what it found in vain.
_KEY, _LARGE_KEY = _word(_KEYS)
_GAP = "[/_.-]"
_NAMED = "(?:{})".format(
    "|".join(
        (
            *_word(_ENDS),
            rf"{_KEY}(?:{_GAP}*K(?:EY|ey)|{_GAP}+key)",
            rf"{_LARGE_KEY}(?:{_GAP}*Key|{_GAP}+(?:key|KEY))",
        )
    )
)
_NAME = rf"{_NAMED}[^A-Za-z0-9]*$"
# What a setting with such a name holds where it holds no credential: nothing, a reference, a path, a switch or a number.
_NOTHING = (
    r"[\"']*(?:|\$.*|\{\{.*|<.*>|\.{0,2}/.*|(?i:true|false|yes|no|on|off|null|none)|~|[|>][+-]?|\d{1,6})[\"']*\s*"
)
_HARMLESS = rf"^\s*{_NOTHING}$"

_TOKENS = (
    *(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", r"\bgh[pousr]_\w{36}", r"\bgithub_pat_\w{22}", r"\bglpat-[\w-]{20}"),
    *(r"\bxox[abprs]-[\w-]{10}", r"\b[sr]k_live_\w{16}", r"\bAIza[\w-]{35}", r"\bhvs\.\w{20}"),
    r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.",
)
_SHAPES = {
    "a private key": (r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----", ""),
    "a password in an address": (
        r"(?i)[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@",
        r"://[^:]*:\$[({]?\w+[)}]?@$",
    ),
    "a token": (
        "|".join(_TOKENS),
        "",
    ),
    "a login": (r"\b(?:Basic|Bearer)\s+[\w+/=.~-]{8,}", r"^\w+\s+[^\d=]*$"),
}
_FLAG = (
    rf"(?:^|\s)-[\w-]*?{_NAMED}[_-]*(?:=|\s+)(?:\"[^\"]*\"|'[^']*'|\S+)",
    rf"^\s?-[\w-]*(?:=|\s+){_NOTHING}$",
)
_LINES = (
    (rf"(?m)^[ \t-]*[\"']?[\w.-]*?{_NAMED}[_.-]*[\"']?[ \t]*[:=].*$", rf"^[^:=]*[:=][ \t]*{_NOTHING},?$"),
    (rf"[\"'][\w.-]*?{_NAMED}[_.-]*[\"'][ \t]*:[ \t]*\"[^\"]*\"", rf"^[^:]*:[ \t]*{_NOTHING}$"),
)

_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_BITS = 4.0  # for each character; words and host names have fewer


def named(name: str) -> bool:
    """Return whether a setting of this name holds a credential: `POSTGRES_PASSWORD` and `apiKey`, not `PASSWORD_FILE`."""
    return bool(re.search(_NAME, name, re.ASCII))


def credential(name: str, value: str) -> str:
    """Return what the value of a setting looks like, "" if it is no credential."""
    if named(name):
        return "" if re.search(_HARMLESS, value, re.ASCII) else "a credential, by its name"
    return shape(value)


def shape(text: str) -> str:
    """Return what a text looks like or holds, whatever it is called; what is encoded once is decoded."""
    for found in (text, _decoded(text)):
        for kind, patterns in _SHAPES.items():
            if _holds(found, *patterns):
                return kind
    return "random text, as keys are" if _RANDOM.fullmatch(text.strip()) and _random(text.strip()) else ""


def in_command(text: str) -> str:
    """Return what a word of a command line, or a script in it, hands over: also by an option, as `--password=`."""
    return "a credential, by its option" if _holds(text, *_FLAG) else shape(text)


def in_file(text: str) -> Iterator[str]:
    """Yield what a file holds: a setting with the name of a credential in any of its lines, or the shape of one."""
    if any(_holds(text, *patterns) for patterns in _LINES):
        yield "a credential, by its name"
    if found := shape(text):
        yield found


# The same as expressions of CEL, which neither decodes nor tells what is random; each is of an expression of the text.


def credential_in_cel(name: str, value: str) -> str:
    """Return the expression of whether a setting is a credential."""
    return f"({name}.matches({_quoted(_NAME)}) ? !{value}.matches({_quoted(_HARMLESS)}) : ({shape_in_cel(value)}))"


def shape_in_cel(text: str) -> str:
    """Return the expression of whether a text looks like a credential or holds one."""
    return " || ".join(_holds_in_cel(text, *patterns) for patterns in _SHAPES.values())


def option_in_cel(text: str) -> str:
    """Return the expression of whether a command line hands over a credential by an option."""
    return _holds_in_cel(text, *_FLAG)


def lines_in_cel(text: str) -> tuple[str, ...]:
    """Return the expressions of whether a file has a setting with the name of a credential; each is dear."""
    return tuple(_holds_in_cel(text, *patterns) for patterns in _LINES)


def _holds(text: str, pattern: str, in_vain: str) -> bool:
    found = (each.group() for each in re.finditer(pattern, text, re.ASCII))
    return any(not (in_vain and re.search(in_vain, each, re.ASCII)) for each in found)


def _holds_in_cel(text: str, pattern: str, in_vain: str) -> str:
    if not in_vain:
        return f"{text}.matches({_quoted(pattern)})"
    return f"{text}.findAll({_quoted(pattern)}).exists(found, !found.matches({_quoted(in_vain)}))"


def _quoted(pattern: str) -> str:
    return json.dumps(pattern)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _random(text: str) -> bool:
    mixed = all(any(test(letter) for letter in text) for test in (str.isupper, str.islower, str.isdigit))
    shares = [count / len(text) for count in Counter(text).values()]
    return mixed and -sum(share * math.log2(share) for share in shares) >= _BITS
