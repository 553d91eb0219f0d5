"""Taking nodes out of a balancer on this host and giving them back, over its control API on loopback.

The operator needs no token and no open port for it. What is drained for the time of a connection is enabled again when
the connection ends, however that comes about.
"""

import contextlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from deploy.agent.place import Refused
from deploy.agent.session import Session

TIMEOUT_S = 3.0


def snapshot(session: Session, port: int) -> dict[str, Any] | None:
    """What the balancer sees; None when its control API does not answer."""
    with contextlib.suppress(Refused):
        return _ask(session, port, "GET", "/snapshot")
    return None


def drain(session: Session, port: int, node: str) -> dict[str, Any]:
    """No new requests for a node from now on. Asked again it tells how far that has come.

    Returns in_flight (what is left), known (False: this balancer has no such node yet). A node that was out before is
    left to whoever took it out.
    """
    found = _node(_ask(session, port, "GET", "/snapshot"), node)
    if found is None:
        return {"in_flight": 0, "known": False}
    if found["admin"] == "enabled":
        session.note(f"drains {node}")
        _note_held(session, port, node, True)
        session.hold(f"{port}/{node}", lambda: _enable_for_certain(session, port, node))
        order(session, port, node, "draining")
        found = _node(_ask(session, port, "GET", "/snapshot"), node) or {"in_flight": 0}
    return {"in_flight": found["in_flight"], "known": True}


def restore(session: Session, port: int, node: str, address: str) -> dict[str, Any]:
    """Enable what `drain` held. Asked again it tells how far that is: done when the balancer picks the node again.

    Done at once: a node that was out before, and one that this balancer still expects at another address.
    """
    if session.release(f"{port}/{node}"):
        session.note(f"enables {node}")
        _enable_for_certain(session, port, node)
    now = _node(_ask(session, port, "GET", "/snapshot"), node)
    if now is None:
        return {"done": True, "state": "unknown"}
    done = now["ready"] or now["address"] != address or now["admin"] != "enabled"
    return {"done": done, "state": now["state"] + (f" ({now['cause']})" if now["cause"] else "")}


def order(session: Session, port: int, node: str, admin: str) -> dict[str, Any]:
    """An operator's order: enabled, draining, maintenance."""
    path = f"/nodes/{urllib.parse.quote(node)}"
    return _ask(session, port, "PATCH", path, {"admin": admin, "who": session.who[:64]})


def announce(session: Session, port: int, text: str) -> None:
    """An event that every dashboard shows. A balancer that does not answer misses it."""
    with contextlib.suppress(Refused):
        _ask(session, port, "POST", "/events", {"text": text[:300], "who": session.who[:64]})


def _enable_for_certain(session: Session, port: int, node: str) -> None:
    """The control process may be in the middle of its own restart: go on trying for a while."""
    while True:
        try:
            order(session, port, node, "enabled")
            _note_held(session, port, node, False)
            return
        except Refused:
            if session.left_s() <= 0.1:
                raise
            time.sleep(0.5)


def heal(session: Session) -> list[str]:
    """Enable what an earlier connection held when its host lost power. Returns the nodes."""
    held = session.place.memory().get("held", [])
    for key in held:
        port, _, node = key.partition("/")
        _enable_for_certain(session, int(port), node)
    return [key.partition("/")[2] for key in held]


def _note_held(session: Session, port: int, node: str, held: bool) -> None:
    keys = [key for key in session.place.memory().get("held", []) if key != f"{port}/{node}"]
    session.place.remember(held=[*keys, f"{port}/{node}"] if held else keys)


def _node(shot: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((node for node in shot["nodes"] if node["name"] == name), None)


def _ask(session: Session, port: int, method: str, path: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    token = (session.place.state / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=TIMEOUT_S) as answer:
            value = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(65536).decode(errors="replace")
        raise Refused("failed", f"control on port {port} said no ({error.code}): {said[:300]}") from None
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Refused("failed", f"control on port {port} does not answer ({reason})") from None
    return value if isinstance(value, dict) else {}
