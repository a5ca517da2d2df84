"""One question: does it answer? Asked of a URL or of a socket, with the node's own authority for https."""

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from local.node.procfs import accepts


def complaint(target: str, authority: Path, timeout: float = 1.0) -> str | None:
    """Return None if `target` is healthy, else what is wrong with it in a few words.

    `target` is an http or https URL that must answer 200, a unix:// socket that must accept, or "" for nothing to ask.
    """
    if not target:
        return None
    parts = urlsplit(target)
    if parts.scheme == "unix":
        return None if accepts(parts.path, timeout) else f"{parts.path} accepts no connection"
    address = parts.hostname or ""
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(authority))
            connection = http.client.HTTPSConnection(address, parts.port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(address, parts.port, timeout=timeout)
        try:
            connection.request("GET", parts.path)
            answer = connection.getresponse()
            body = answer.read(2000).decode(errors="replace")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"{target} does not answer: {error}"
    if answer.status == http.HTTPStatus.OK:
        return None
    failed = [line for line in body.splitlines() if line.startswith("[-]")] or body.splitlines()[:1]
    return f"{target} answers {answer.status}: {'; '.join(failed)}"
