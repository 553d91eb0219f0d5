"""The loops: asks every balancer twice a second while somebody watches, else every two seconds, and sends what is new.

One greenlet takes turns, one a balancer follows its events. Viewers cost the balancers nothing: each is asked once a
turn, however many browsers there are.
"""

import itertools
import logging
import random
import time
from collections.abc import Callable

import gevent
from gevent.event import Event as Bell

from cluster.errors import ControlError
from dashboard.control import Control
from dashboard.picture import Message, Picture
from dashboard.probes import EVERY_TURNS

LIVE_S = 0.5
IDLE_S = 2.0
PATIENCE_S = 0.4
"""How long a turn waits for a slow balancer; its answer then counts in a later turn."""
WAIT_S = 20.0
"""How long one request for events is held open by the balancer."""

log = logging.getLogger("fairlead.dashboard")


class Feed:
    """Pulls into a picture; `send` passes messages to browsers, `watching` says whether there are any."""

    def __init__(
        self,
        picture: Picture,
        connect: Callable[[str], Control],
        send: Callable[[list[Message]], None],
        watching: Callable[[], bool],
    ) -> None:
        self._picture = picture
        self._connect = connect
        self._send = send
        self._watching = watching
        self._several = len(picture.fleet.balancers) > 1  # a single one's percentiles need no adding up
        self._bell = Bell()
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        self._pulls: dict[str, gevent.Greenlet[..., None]] = {}

    def start(self) -> None:
        """Start the loops, in the worker process."""
        names = [b.name for b in self._picture.fleet.balancers]
        clients = {name: self._connect(name) for name in names}
        self._greenlets = [gevent.spawn(self._turns, clients)]
        self._greenlets += [gevent.spawn(self._follow, name, self._connect(name)) for name in names]

    def stop(self) -> None:
        """End the loops."""
        gevent.killall([*self._greenlets, *self._pulls.values()], block=False)

    def hurry(self) -> None:
        """Take the next turn now: somebody has begun to watch, or has pressed something."""
        self._bell.set()

    def _turns(self, clients: dict[str, Control]) -> None:
        for turn in itertools.count():
            began = time.monotonic()
            try:
                self._pull_all(clients, with_probes=turn % EVERY_TURNS == 0)
                self._send(self._picture.turn(time.time()))
            except Exception:  # outermost: one bad answer must not end the page for good
                log.exception("a turn of the feed failed; the next one follows")
            pause = LIVE_S if self._watching() else IDLE_S
            self._bell.wait(max(0.05, pause - (time.monotonic() - began)))
            self._bell.clear()

    def _pull_all(self, clients: dict[str, Control], with_probes: bool) -> None:
        for name, client in clients.items():
            if name not in self._pulls or self._pulls[name].ready():
                self._pulls[name] = gevent.spawn(self._pull, name, client, with_probes)
        gevent.joinall(list(self._pulls.values()), timeout=PATIENCE_S)

    def _pull(self, name: str, client: Control, with_probes: bool) -> None:
        try:
            snapshot = client.snapshot(with_probes, self._several)
        except ControlError as error:
            self._picture.lost(name, str(error), time.time())
        else:
            self._picture.saw(name, snapshot, time.time())

    def _follow(self, name: str, client: Control) -> None:
        """One balancer's events, for ever. `seq` counts anew when its control process has been started anew."""
        after, boot, wait_s, pause_s = 0, "", 0.0, 0.5
        while True:
            try:
                answer = client.events(after, wait_s)
                if boot and answer["boot"] != boot:
                    after, boot, wait_s = 0, "", 0.0
                    continue
                boot, wait_s, pause_s = answer["boot"], WAIT_S, 0.5
                if answer["events"]:
                    self._picture.heard(name, boot, answer["events"])
                    after = max(event["seq"] for event in answer["events"])
                    self._send(self._picture.new_events())
                else:
                    gevent.sleep(0.05)  # a control API that does not hold the request must not make us spin
            except ControlError:
                wait_s = 0.0  # do not wait 20 s for the first answer of a new control process
                gevent.sleep(pause_s * random.uniform(0.7, 1.3))
                pause_s = min(5.0, pause_s * 2)
            except Exception:  # outermost, as above
                log.exception("events of %s could not be read", name)
                gevent.sleep(5.0)
