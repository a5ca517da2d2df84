"""What a command line gets from elsewhere as it starts: packages, code, rights, and programs that it downloads and then runs."""

import posixpath
import re
from collections.abc import Iterator

_STARTS_WORD = r"(?:^|[\s;&|(`'\"/])"
_OPTIONS = r"(?:-\S+\s+(?:[^-\s]\S*\s+)?)*"
_SHELLS = r"(?:a|ba|da|k|z)?sh"
_LANGUAGES = r"python3?|perl|ruby|node"
_MANAGERS = r"apt|apt-get|aptitude|dnf|microdnf|yum|zypper|pip3?|pipx|uv|poetry|conda|mamba|npm|pnpm|yarn|gem|bundle|composer|cargo|go"
_CHANGES = (
    rf"{_STARTS_WORD}(?:sudo|doas)\s",
    rf"\b(?:curl|wget)\b(?:\\\n|[^|;\n])*\|\s*(?:\S*/)?(?:{_SHELLS}|{_LANGUAGES})\b",
    r"(?:\$\(|<\(|`)\s*(?:curl|wget)\b",
    rf"{_STARTS_WORD}(?:{_MANAGERS})\s+{_OPTIONS}(?:install|update|upgrade|sync|ci|i)\b",
    rf"{_STARTS_WORD}(?:npx|uvx)\s",
    rf"{_STARTS_WORD}apk\s+{_OPTIONS}(?:add|update|upgrade)\b",
    rf"{_STARTS_WORD}(?:dpkg|rpm)\s+{_OPTIONS}(?:-[iU]|--install)",
    rf"{_STARTS_WORD}git\s+{_OPTIONS}(?:clone|fetch|pull)\b",
)
_CHANGING = re.compile("|".join(_CHANGES))
_DOWNLOAD = re.compile(r"\b(curl|wget)\s(?:\\\n|(?!&&)[^;|\n])*")
_KEPT_AS = re.compile(r"(?:\s-\w*[oO]|\s--output(?:-document)?|>)[\s=]*(-(?!\S)|[^\s<>-][^\s<>]*)")
_KEPT = re.compile(r"^wget\b|\s-\w*O|\s--remote-name")
_ADDRESS = re.compile(r"https?://[^\s/]+/([^\s?]+)")


def changes_itself(words: str) -> bool:
    """Return whether a command line gets programs or rights that its image does not have."""
    return bool(_CHANGING.search(words)) or any(
        re.search(_run(name), words[download.end() :])
        for download in _DOWNLOAD.finditer(words)
        for name in _names(download[0])
    )


def _names(download: str) -> Iterator[str]:
    """Yield the names of the files that a download is kept in."""
    for path in _KEPT_AS.findall(download) or (_ADDRESS.findall(download) if _KEPT.search(download) else ()):
        if name := posixpath.basename(path.strip("'\"")):
            yield name


def _run(name: str) -> str:
    """Return the expression of a command that runs a file: by itself, by an interpreter, or in the shell that reads it."""
    before = rf"(?:^|[;&|\n(]|\b(?:exec|then|do|env|source|{_SHELLS}|{_LANGUAGES}|java\s+-jar)\s|\s\.\s)"
    return rf"{before}\s*(?:-\S+\s+)*[<'\"]?\s*(?:[^\s;&|]*/)?{re.escape(name)}(?![\w.-])"
