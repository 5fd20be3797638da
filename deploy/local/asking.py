"""A GET of something on the loopback."""

from __future__ import annotations

import http.client


def ask(port: int, path: str, patience: float = 2) -> tuple[int, str] | None:
    """Status and body; None if nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
