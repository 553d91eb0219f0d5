"""The session that the present HTTP request belongs to: what it may do, and what it brings."""

from typing import Any

from flask import request

from dashboard import access
from dashboard.access import Denied, Role


class Session:
    """Roles of requests. `anonymous_view`: who has not signed in may look."""

    def __init__(self, token: str, anonymous_view: bool) -> None:
        self._token = token
        self._anonymous_view = anonymous_view

    def role(self) -> Role | None:
        """What the request's session may do; None: nothing, it is signed out."""
        role = access.role_of_request(request, self._token)
        return Role.VIEW if role is None and self._anonymous_view else role

    def signed_in(self) -> bool:
        """Whether the request brings a cookie of ours."""
        return access.role_of_request(request, self._token) is not None

    def viewer(self) -> None:
        """Denied unless it may look."""
        if self.role() is None:
            raise Denied(401, "signed out; sign in again")

    def operator(self) -> str:
        """Who orders, for the event log. Denied unless it may steer and the request comes from our own page."""
        own_origin()
        access.allowed(self.role())
        return who()


def own_origin() -> None:
    """Denied when a page of another site made this request."""
    if not access.same_origin(request):
        raise Denied(403, "this request comes from a page of another site")


def who() -> str:
    """The operator, by address: there is one token for all of them."""
    return f"operator at {request.remote_addr}"


def json_body() -> Any:
    """The body. Only application/json, which a form of another site cannot send."""
    if not request.is_json:
        raise Denied(415, "the body must be application/json")
    try:
        return request.get_json(silent=True)
    except RecursionError:  # brackets in brackets in brackets
        return None
