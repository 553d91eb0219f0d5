"""Host by host to a release: drain, switch, restart, see that it is well, enable. The first one is the canary.

A host is switched and found good, or taken back, as a whole. When one is not good, all that this rollout changed is
taken back, the newest first.
"""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cluster.config import Fleet
from cluster.errors import FairleadError
from cluster.programs import is_balancer, node_of
from deploy import draining
from deploy.agent.programs import Wanted
from deploy.batches import next_batch
from deploy.hosts.connection import HostRefused, Unreachable
from deploy.outcome import HostResult
from deploy.plan import PROGRAMS, HostPlan
from deploy.reach import Reach
from deploy.targets import roles_of

RESTART_S = 75.0


class Stopped(FairleadError):
    """Another host failed; this one was not begun."""


def programs_in(reach: Reach, host: str, release: str) -> list[Wanted]:
    """The programs of a release that is on a host, as they were planned when it was brought there."""
    found = reach.call(host, "read_host_files", release=release, names=[PROGRAMS])
    if PROGRAMS not in found:
        raise HostRefused("missing", f"release {release} is not on this host; `fab releases` says which are", [])
    programs: list[Wanted] = json.loads(found[PROGRAMS])
    return programs


def together(programs: list[Wanted]) -> list[list[Wanted]]:
    """What is restarted at the same time on a host.

    Nodes one after the other, because each is drained first; with the first of them what carries no traffic. Balancers
    come last, when no node of this host needs to be drained any more: what drains may restart beside them.
    """
    nodes = [program for program in programs if node_of(program["name"])]
    if not nodes:
        return [programs] if programs else []
    balancers = [program for program in programs if is_balancer(program["name"])]
    others = [program for program in programs if program not in nodes and program not in balancers]
    groups = [[nodes[0], *others], *([node] for node in nodes[1:]), balancers]
    return [group for group in groups if group]


class Rollout:
    """Brings hosts to their plans' release. `results` tells what became of each."""

    def __init__(
        self, reach: Reach, plans: dict[str, HostPlan], results: dict[str, HostResult], note: Callable[[str, str], None]
    ) -> None:
        self._reach = reach
        self._fleet: Fleet = reach.fleet
        self._plans = plans
        self._results = results
        self._note = note
        self._stop = threading.Event()
        self._done: list[str] = []
        self.failure: tuple[str, FairleadError] | None = None
        """The first host that failed, and how."""

    def run(self, serving: list[str], batch: int = 0) -> None:
        """`serving`: balancers that serve now; when there is none nobody can be hurt, and all hosts go at once.

        `batch`: how many node hosts at a time, after the canary; 0: as many as leave enough (`batches.next_batch`).
        """
        hosts = [host for host in self._plans if self._plans[host].changes]
        if not serving:
            self._at_once(hosts, serving)
            return
        roles = {host: roles_of(self._fleet, host) for host in hosts}
        balancers = [host for host in hosts if "balancer" in roles[host]]
        nodes = [host for host in hosts if "node" in roles[host] and host not in balancers]
        others = [host for host in hosts if host not in balancers and host not in nodes]
        self._at_once(nodes[:1], serving)
        rest = nodes[1:]
        with ThreadPoolExecutor(1) as beside:
            nobodys = beside.submit(self._at_once, others, serving)
            while rest and not self._stop.is_set():
                now = next_batch(self._fleet, rest, self._in_flight(serving), batch)
                self._at_once(now, serving)
                rest = [host for host in rest if host not in now]
            nobodys.result()
        for host in balancers:
            self._at_once([host], serving)

    def stop(self) -> None:
        """Begin no further host."""
        self._stop.set()

    def _in_flight(self, serving: list[str]) -> dict[str, int]:
        """Of each node that every balancer picks now, over all of them."""
        found: dict[str, int] = {}
        out: set[str] = set()
        for balancer in (b for b in self._fleet.balancers if b.name in serving):
            try:
                shot = self._reach.call(balancer.host, "snapshot", port=balancer.control_port)
            except FairleadError:
                shot = None
            for node in shot["nodes"] if shot else []:
                found[node["name"]] = found.get(node["name"], 0) + node["in_flight"]
                out |= set() if node["ready"] else {node["name"]}
        return {name: count for name, count in found.items() if name not in out}

    def _at_once(self, hosts: list[str], serving: list[str]) -> None:
        if not hosts or self._stop.is_set():
            return
        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(lambda host: self._guarded(host, serving), hosts))

    def _guarded(self, host: str, serving: list[str]) -> None:
        began = time.monotonic()
        result = self._results[host]
        try:
            self.turn(host, serving)
        except FairleadError as error:
            self._stop.set()
            self.failure = self.failure or (host, error)
            result.result = "unreachable" if isinstance(error, Unreachable) else "failed"
            result.detail = str(error)
            result.log = error.log if isinstance(error, HostRefused) else []
            return
        self._done.append(host)
        result.took_s = time.monotonic() - began
        result.result = "changed" if self._plans[host].before else "new"
        result.now = self._plans[host].release

    def turn(self, host: str, serving: list[str]) -> None:
        """One host: all of its programs, one after the other, then for good. FairleadError: it stands where it was, or
        will be taken back by `abort`."""
        plan = self._plans[host]
        programs = [program for program in plan.programs if program["name"] in plan.to_restart]
        self._bring(host, plan.release, programs, serving)

    def _bring(self, host: str, release: str, programs: list[Wanted], serving: list[str], forget: str = "") -> None:
        self._reach.call(host, "begin", release=release, limit_s=30)
        balancers = [b for b in self._fleet.balancers if b.name in serving]
        for group in together(programs):
            node = next(filter(None, (node_of(program["name"]) for program in group)), None)
            # A balancer that is gone serves nobody and needs no telling.
            drained = draining.drain(self._reach, node, balancers) if node else []
            self._reach.call(host, "restart", programs=group, release=release, limit_s=RESTART_S)
            if node:
                draining.restore(self._reach, node, drained)
        self._reach.call(host, "commit", forget=forget, limit_s=60)
        self._note(host, f"is on {release}")

    def drop_removed(self) -> None:
        """Stop what the new configuration no longer has, now that no balancer sends anything there."""
        for host in self._done:
            if self._plans[host].to_stop:
                self._reach.call(host, "drop_removed", limit_s=60)

    def take_back(self, serving: list[str]) -> list[str]:
        """Every host that this rollout has touched back to the release before. Returns those that could not be."""
        stuck = []
        if self.failure is not None:
            stuck += self._abort([h for h, r in self._results.items() if r.result in ("failed", "unreachable")])
        for host in reversed(self._done):
            plan = self._plans[host]
            result = self._results[host]
            try:
                self._back(host, plan, serving)
            except FairleadError as error:
                stuck.append(host)
                result.result, result.detail = "failed", f"could not be taken back: {error}"
                continue
            result.result, result.now = "reverted", plan.before
        return stuck

    def _abort(self, hosts: list[str]) -> list[str]:
        stuck = []
        for host in hosts:
            result = self._results[host]
            if result.result == "unreachable":
                # It takes itself back as soon as it notices that nobody is there any more.
                result.detail += "; it takes itself back to the release before within half a minute"
                continue
            try:
                told = self._reach.call(host, "abort", limit_s=90)
            except FairleadError as error:
                stuck.append(host)
                result.detail += f"; could not be taken back: {error}"
                continue
            result.result, result.now = "reverted", told["to"]
        return stuck

    def _back(self, host: str, plan: HostPlan, serving: list[str]) -> None:
        if not plan.before:
            raise HostRefused("revert", f"there is none before {plan.release}; it stays as it is", [])
        self._note(host, f"goes back to {plan.before}")
        programs = programs_in(self._reach, host, plan.before)
        self._bring(host, plan.before, programs, serving, forget="" if plan.before == plan.release else plan.release)
