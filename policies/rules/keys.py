"""How hard the secrets that a program makes are to guess."""

from collections.abc import Iterator
from math import log2

from policies.rule import ProgramRule, Registered, at

_BITS = 128
_RSA_BITS = 3072
_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"  # what the provider takes where it is not told
_CLASSES = {"lower": 26, "upper": 26, "numeric": 10}
_CURVES = ("P256", "P384", "P521")
_PASSWORDS = ("random:index/randomPassword:RandomPassword", "random:index/randomString:RandomString")
_BYTES = "random:index/randomBytes:RandomBytes"
_KEY = "tls:index/privateKey:PrivateKey"


def _made(registered: Registered) -> bool:
    return registered.token in (*_PASSWORDS, _BYTES, _KEY)


def _strong(registered: Registered) -> Iterator[str]:
    if registered.token == _KEY:
        yield from _key(registered)
    elif registered.token == _BYTES:
        if at(registered.properties, "length", 0) * 8 < _BITS:
            yield f"properties.length is less than {_BITS} bits; set {_BITS // 8} or more"
    elif _bits(registered) < _BITS:
        yield f"properties.length of these characters is less than {_BITS} bits; set more"


def _bits(registered: Registered) -> float:
    given = registered.properties
    # The provider knows `numeric` by its old name too.
    numeric = at(given, "numeric", at(given, "number", True))
    wanted = {"lower": at(given, "lower", True), "upper": at(given, "upper", True), "numeric": numeric}
    letters = sum(size for name, size in _CLASSES.items() if wanted[name])
    special = set(at(given, "overrideSpecial", "") or _SPECIAL) if at(given, "special", True) else set[str]()
    letters += len(special)
    return at(given, "length", 0) * log2(letters) if letters > 1 else 0.0


def _key(registered: Registered) -> Iterator[str]:
    given = registered.properties
    algorithm = at(given, "algorithm")
    if algorithm == "RSA" and at(given, "rsaBits", 2048) < _RSA_BITS:
        yield f"properties.rsaBits is too few; set {_RSA_BITS} or more"
    if algorithm == "ECDSA" and at(given, "ecdsaCurve", "P224") not in _CURVES:
        yield "properties.ecdsaCurve is too small; set P256 or more"
    if algorithm not in ("RSA", "ECDSA", "ED25519"):
        yield "properties.algorithm is none that is known to be strong; set ED25519"


KEY_RULES = (
    ProgramRule(
        name="program-strong-secret",
        description=f"A secret that the program makes has {_BITS} bits, and a key is RSA of {_RSA_BITS} bits, P-256 or stronger.",
        why="A hash or a captured handshake is guessed offline: a short password in hours, a short key in years.",
        box="key-management",
        severity="high",
        about=_made,
        check=_strong,
    ),
)
