"""Who may see and who may steer: a token link once, a cookie from then on.

The operator's token opens the page for operating; a second token, derived from it, opens it for viewing only (a wall
screen, a class). The cookie holds neither: it is a keyed hash of the role, so a new token ends all sessions.
Nothing here keeps state.
"""

import hashlib
import hmac
from enum import StrEnum
from urllib.parse import urlsplit

from flask import Request

from cluster import auth

SESSION_S = 30 * 24 * 3600


class Role(StrEnum):
    """What a session may do. OPERATE includes VIEW."""

    VIEW = "view"
    OPERATE = "operate"


class Denied(Exception):
    """The request is not carried out; `status` is for the answer, the text for the person."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


def allowed(role: Role | None) -> None:
    """Denied unless the session may steer."""
    if role is None:
        raise Denied(401, "signed out; sign in again")
    if role is not Role.OPERATE:
        raise Denied(403, "this session may only look; sign in with the operator's link to steer")


def view_token(token: str) -> str:
    """The token for viewing only; it tells nothing of the operator's."""
    return "view-" + _keyed(token, "view token")[:32]


def role_of_token(given: str | None, token: str) -> Role | None:
    """The role that a token in a link or in the sign-in field opens; None for a wrong one."""
    if auth.matches(given, token):
        return Role.OPERATE
    if auth.matches(given, view_token(token)):
        return Role.VIEW
    return None


def cookie_name(request: Request) -> str:
    """Cookies do not tell ports apart, and two fleets may share a machine: so the port is in the name."""
    return f"fairlead_{request.environ.get('SERVER_PORT', '0')}"


def cookie_value(role: Role, token: str) -> str:
    """What the browser keeps: the role and the proof that we gave it."""
    return f"{role}.{_keyed(token, f'session {role}')}"


def role_of_request(request: Request, token: str) -> Role | None:
    """The role of the session that a request belongs to; None when it is signed out."""
    given = request.cookies.get(cookie_name(request))
    return next((role for role in Role if auth.matches(given, cookie_value(role, token))), None)


def same_origin(request: Request) -> bool:
    """Whether a browser made this request from our own page (or it is no browser).

    A page of another site cannot forge Origin. SameSite=Strict alone would let another port of this host through.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


def _keyed(token: str, purpose: str) -> str:
    return hmac.new(token.encode(), f"fairlead dashboard: {purpose}".encode(), hashlib.sha256).hexdigest()
