"""What a person may order. Checked here, carried out by every balancer's control API, never assumed to have worked."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from cluster.config import Balancer
from cluster.errors import ControlError
from dashboard.access import Denied
from dashboard.control import Control, Refused

ADMIN = ("enabled", "draining", "maintenance")
MAX_WEIGHT = 256


class Result(NamedTuple):
    """What one balancer made of an order."""

    balancer: str
    ok: bool
    status: int  # HTTP status of its answer; 0 when there was none
    error: str


class Actions:
    """The orders of the page, passed on to all balancers alike."""

    def __init__(self, balancers: Sequence[Balancer], connect: Callable[[str], Control]) -> None:
        self._names = [b.name for b in balancers]
        self._connect = connect

    def algorithm(self, body: Any, who: str) -> list[Result]:
        """`{"algorithm": KEY}`: switch it everywhere. Denied when the body is wrong."""
        key = body.get("algorithm") if isinstance(body, dict) else None
        if not isinstance(key, str) or not key:
            raise Denied(400, 'the body is {"algorithm": KEY}')
        return self._everywhere("POST", "/algorithm", {"algorithm": key, "who": who})

    def node(self, name: str, body: Any, who: str) -> list[Result]:
        """`{"admin": WORD}` or `{"weight": 0..256}` or both: order it of a node. Denied as above."""
        order = body if isinstance(body, dict) else {}
        wanted: dict[str, Any] = {key: order[key] for key in ("admin", "weight") if key in order}
        if not wanted or wanted.keys() != order.keys():
            raise Denied(400, 'the body is {"admin": WORD} or {"weight": NUMBER} or both')
        if "admin" in wanted and wanted["admin"] not in ADMIN:
            raise Denied(400, f"admin is one of {', '.join(ADMIN)}")
        weight = wanted.get("weight", 0)
        if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= MAX_WEIGHT:
            raise Denied(400, f"weight is a whole number from 0 to {MAX_WEIGHT}")
        return self._everywhere("PATCH", f"/nodes/{quote(name, safe='')}", {**wanted, "who": who})

    def _everywhere(self, method: str, path: str, body: dict[str, Any]) -> list[Result]:
        return [self._at(name, method, path, body) for name in self._names]

    def _at(self, name: str, method: str, path: str, body: dict[str, Any]) -> Result:
        client = self._connect(name)
        try:
            client.call(method, path, body)
        except Refused as error:
            return Result(name, False, error.status, str(error))
        except ControlError as error:
            return Result(name, False, 0, f"its control API cannot be reached ({error})")
        finally:
            client.close()
        return Result(name, True, 200, "")


def answer(results: Sequence[Result]) -> tuple[dict[str, Any], int]:
    """JSON and HTTP status of an order: 200 when all did it, 502 when one could not be asked, else its refusal."""
    failed = [r for r in results if not r.ok]
    text = "; ".join(f"{r.balancer}: {r.error}" for r in failed)
    status = failed[0].status if failed else 200
    if any(r.status in (0, 401) or r.status >= 500 for r in failed):  # 401: our token, not the person's session
        status = 502
    return {"ok": not failed, "error": text, "results": [r._asdict() for r in results]}, status
