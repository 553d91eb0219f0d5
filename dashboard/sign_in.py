"""Signing in and out: a token link or the field, once; a cookie from then on."""

import time
from urllib.parse import urlsplit

import flask
from flask import Blueprint, Response, request

from dashboard import access
from dashboard.access import Role
from dashboard.picture import Picture
from dashboard.session import Session, own_origin
from dashboard.signin_limit import SignInLimit


class SignIn:
    """The pages and the cookie. Who signs in as operator, and who tries too often, is an event."""

    def __init__(self, session: Session, token: str, fleet: str, picture: Picture) -> None:
        self._session = session
        self._token = token
        self._fleet = fleet
        self._picture = picture
        self._limit = SignInLimit()
        self.routes = Blueprint("sign_in", __name__)
        self.routes.get("/sign-in")(self._form)
        self.routes.post("/sign-in")(self._posted)
        self.routes.post("/sign-out")(self._sign_out)

    def signed_in(self, given: str) -> Response:
        """The answer to a token: a redirect with the cookie, or the field again."""
        address = request.remote_addr or "?"
        wait_s = self._limit.wait_s(address, time.monotonic())
        if wait_s > 0:
            answer = self.page(429, wait_s=int(wait_s) + 1)
            answer.headers["Retry-After"] = str(int(wait_s) + 1)
            return answer
        role = access.role_of_token(given.strip(), self._token)
        if role is None:
            if self._limit.wrong(address, time.monotonic()):
                self._note(f"too many wrong tokens from {address}: it must wait")
            return self.page(401, wrong=True)
        self._limit.right(address)
        if role is Role.OPERATE:
            self._note(f"an operator signed in from {address}")
        answer = flask.make_response(flask.redirect("/", 303))
        answer.set_cookie(
            access.cookie_name(request),
            access.cookie_value(role, self._token),
            max_age=access.SESSION_S,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
        return answer

    def page(self, status: int, wrong: bool = False, wait_s: int = 0) -> Response:
        """The field."""
        body = flask.render_template("login.html", fleet=self._fleet, wrong=wrong, wait_s=wait_s, tunnel=_tunnel())
        return flask.make_response(body, status)

    def _form(self) -> Response:
        return self.page(200)

    def _posted(self) -> Response:
        own_origin()
        return self.signed_in(request.form.get("token", ""))

    def _sign_out(self) -> Response:
        own_origin()
        answer = flask.make_response(flask.redirect("/", 303))
        answer.delete_cookie(access.cookie_name(request), httponly=True, samesite="Strict")
        return answer

    def _note(self, text: str) -> None:
        self._picture.note(time.time(), "sign-in", text)


def _tunnel() -> tuple[str, int] | None:
    """Host and port for an `ssh -L` to here; None where nobody else can read what goes to and fro."""
    reached = urlsplit(request.host_url)
    if request.is_secure or reached.hostname in ("127.0.0.1", "localhost", "::1", None):
        return None
    return reached.hostname, int(request.environ["SERVER_PORT"])
