"""The operator's token: made once, kept in a file that only its owner can read, compared in constant time."""

import hmac
import os
import secrets
from pathlib import Path

from cluster import paths


def read_token(path: Path | None = None) -> str:
    """The token; makes it (mode 0600) when there is none. Two processes that start at once agree on one."""
    path = path or paths.token_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(fd, "w") as file:
                file.write(secrets.token_urlsafe(24) + "\n")
            os.link(fresh, path)  # fails if the other was first: then its token counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()


def matches(given: str | None, token: str) -> bool:
    """Whether `given` is the token."""
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


def bearer(authorization: str | None) -> str | None:
    """The token in an `Authorization: Bearer ...` field (RFC 6750 section 2.1)."""
    scheme, _, value = (authorization or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None
