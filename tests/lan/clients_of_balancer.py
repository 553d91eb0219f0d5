"""A program: clients of one balancer until SIGTERM, then what they saw as JSON. Standard library only.

`clients_of_balancer.py ADDRESS PORT RATE`. Of RATE requests a second a half comes on connections of its own, the other
half on kept ones; besides, four clients ask for work that takes two seconds. A kept connection that the balancer closes
while it is idle is replaced, as HTTP wants it; everything else that is not an answer below 500 has failed.
"""

import http.client
import json
import signal
import sys
import threading
import time

ADDRESS, PORT, RATE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
FAST_CLIENTS, SLOW_CLIENTS = 12, 4
ended = threading.Event()
lock = threading.Lock()
took_ms: list[float] = []
reasons: dict[str, int] = {}
sent = {"fresh": 0, "kept": 0, "slow": 0}


def client(kind: str, path: str, pause_s: float) -> None:
    """One of them."""
    connection = None
    turn = time.monotonic()
    while not ended.is_set():
        turn = max(turn + pause_s, time.monotonic() - 1)
        ended.wait(max(0.0, turn - time.monotonic()))
        began, why, fresh = time.monotonic(), "", connection is None
        try:
            connection = connection or http.client.HTTPConnection(ADDRESS, PORT, timeout=30)
            connection.request("GET", path, headers={"Connection": "close"} if kind == "fresh" else {})
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 500:
                why = f"{kind}: {answer.status}"
            if kind == "fresh" or answer.will_close:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            connection = None
            if not fresh and isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
                continue
            why = f"{kind}: {type(error).__name__}: {error}"
        with lock:
            sent[kind] += 1
            if kind != "slow":
                took_ms.append((time.monotonic() - began) * 1e3)
            if why:
                reasons[why] = reasons.get(why, 0) + 1


signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
threads = [
    threading.Thread(target=client, args=(("fresh", "kept")[i % 2], "/?service_ms=2", FAST_CLIENTS / RATE))
    for i in range(FAST_CLIENTS)
]
threads += [threading.Thread(target=client, args=("slow", "/?service_ms=2000", 0.1)) for _ in range(SLOW_CLIENTS)]
for thread in threads:
    thread.start()
while not ended.wait(0.5):
    pass
for thread in threads:
    thread.join(35)
took_ms.sort()
result = {
    "sent": sum(sent.values()),
    "by_kind": sent,
    "failed": sum(reasons.values()),
    "reasons": reasons,
    "p50_ms": round(took_ms[len(took_ms) // 2], 1) if took_ms else None,
    "p99_ms": round(took_ms[int(len(took_ms) * 0.99)], 1) if took_ms else None,
    "max_ms": round(took_ms[-1], 1) if took_ms else None,
}
print(json.dumps(result))
