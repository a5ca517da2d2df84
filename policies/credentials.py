"""Whether a text looks like a credential. A guess: it knows names, shapes and randomness, and never the secrets themselves.

What is secret and comes in another form is not found: a part of it, its hash, or two layers of encoding.
"""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ENDS = frozenset(
    {"password", "passwd", "pass", "pwd", "passphrase", "secret", "token", "credential", "credentials", "apikey"}
)
_KEYS = frozenset({"api", "access", "private", "secret", "encryption", "signing", "master", "root"})  # before `key`

_SHAPES = {
    "a private key": re.compile(r"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----"),
    "a password in an address": re.compile(
        r"[a-z][a-z0-9+.-]*://[^\s/:@]*:(?!\$[({]?\w+[)}]?@)[^\s/@]+@", re.IGNORECASE
    ),
    "a token": re.compile(
        r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}|\bgithub_pat_\w{22}|\bglpat-[\w-]{20}|\bxox[abprs]-[\w-]{10}"
        r"|\b[sr]k_live_\w{16}|\bAIza[\w-]{35}|\bhvs\.\w{20}|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\."
    ),
    "a login": re.compile(r"\b(Basic|Bearer)\s+(?=[\w+/.~-]*[\d=])[\w+/=.~-]{8,}"),
}
_FLAG = re.compile(r"(?<!\S)--?([A-Za-z][\w-]*)(?:=|\s+)(\"[^\"]*\"|'[^']*'|\S+)")
_PAIR = re.compile(r"^[ \t-]*[\"']?([\w.-]+)[\"']?[ \t]*[:=][ \t]*(.*?)[ \t]*,?$", re.MULTILINE)
_QUOTED = re.compile(r"[\"']([\w.-]+)[\"'][ \t]*:[ \t]*\"([^\"]*)\"")

# What a setting with such a name holds where it holds no credential: nothing, a reference, a path, a switch or a number.
_HARMLESS = re.compile(
    r"|\$.*|\{\{.*|<.*>|\.{0,2}/.*|true|false|yes|no|on|off|null|none|~|[|>][+-]?|\d{1,6}", re.IGNORECASE
)

_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_BITS = 4.0  # for each character; words and host names have fewer


def named(name: str) -> bool:
    """Return whether a setting of this name holds a credential: `POSTGRES_PASSWORD` and `apiKey`, not `PASSWORD_FILE`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return bool(words) and (words[-1] in _ENDS or (words[-1] == "key" and bool(_KEYS & set(words[-2:-1]))))


def credential(name: str, value: str) -> str:
    """Return what the value of a setting looks like, "" if it is no credential."""
    if named(name) and not _HARMLESS.fullmatch(value.strip().strip("\"'")):
        return "a credential, by its name"
    return "" if named(name) else shape(value)


def shape(text: str) -> str:
    """Return what a text looks like or holds, whatever it is called; what is encoded once is decoded."""
    for found in (text, _decoded(text)):
        for kind, pattern in _SHAPES.items():
            if pattern.search(found):
                return kind
    return "random text, as keys are" if _RANDOM.fullmatch(text.strip()) and _random(text.strip()) else ""


def in_command(text: str) -> str:
    """Return what a word of a command line, or a script in it, hands over: also by an option, as `--password=`."""
    if any(named(flag) and not _HARMLESS.fullmatch(value.strip("\"'")) for flag, value in _FLAG.findall(text)):
        return "a credential, by its option"
    return shape(text)


def in_file(text: str) -> Iterator[str]:
    """Yield what a file holds: a setting with the name of a credential in any of its lines, or the shape of one."""
    if any(credential(key, value) for key, value in (*_PAIR.findall(text), *_QUOTED.findall(text)) if named(key)):
        yield "a credential, by its name"
    if found := shape(text):
        yield found


def _decoded(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _random(text: str) -> bool:
    mixed = all(any(test(letter) for letter in text) for test in (str.isupper, str.islower, str.isdigit))
    shares = [count / len(text) for count in Counter(text).values()]
    return mixed and -sum(share * math.log2(share) for share in shares) >= _BITS
