"""plan, deploy, rollback: bring hosts to a release, rolling and gated."""

import time
from collections.abc import Iterable

from cluster.errors import FairleadError
from deploy import plan, wheelhouse
from deploy.command import Command
from deploy.hosts import SYSTEMS
from deploy.hosts.connection import HostRefused, Unreachable
from deploy.outcome import Code, HostResult
from deploy.plan import CONF, KEEPER, PROGRAMS, HostPlan
from deploy.prepare import prepare
from deploy.reach import Reach
from deploy.release import Release, build
from deploy.rollout import Rollout, programs_in
from deploy.traffic import Traffic
from deploy.verbs.opening import all_hosts, check_hosts, chosen, clients, locked, serving_now

READY_S = 20.0


def show_plan(command: Command) -> None:
    """What a deploy would do; nothing is touched. Exit 0: nothing, 2: changes."""
    release = _release(command)
    with all_hosts(command) as reach:
        plans = _plans(command, reach, release)
        _report_plans(command, plans)
        pending = [p for p in plans.values() if p.changes]
        command.outcome.code = Code.PENDING if pending else command.code_of_hosts()
        command.outcome.summary = f"{len(pending)} of {len(plans)} hosts would change; release {release.id}"


def deploy(command: Command) -> None:
    """Bring the chosen hosts to the project's present content."""
    release = _release(command)
    with all_hosts(command) as reach, locked(command, reach):
        plans = _plans(command, reach, release)
        if not any(p.changes for p in plans.values()):
            command.outcome.code = command.code_of_hosts()
            command.outcome.summary = f"0 changed: {len(plans)} hosts are on release {release.id}"
            return
        serving = serving_now(reach)
        with clients(command, serving) as traffic:
            prepare(command, reach, plans, release)
            _roll(command, reach, plans, serving, traffic, int(command.options.get("batch") or 0))


def rollback(command: Command) -> None:
    """Bring the chosen hosts back to the release before, or to one that is named. Nothing is sent, nothing is built."""
    target = command.options.get("release") or ""
    with all_hosts(command) as reach, locked(command, reach):
        plans = {}
        for host in chosen(command, reach):
            plans[host] = _back_plan(command, reach, host, target)
        command.outcome.release = ", ".join(sorted({p.release for p in plans.values()}))
        check_hosts(command)
        serving = serving_now(reach)
        with clients(command, serving) as traffic:
            _roll(command, reach, plans, serving, traffic, int(command.options.get("batch") or 0))


def fetch(command: Command) -> None:
    """Fetch the packages that hosts will need, for a deploy without internet. No host is asked."""
    options = {key: str(command.options.get(key) or "") for key in ("python", "machine", "libc")}
    target = wheelhouse.Target.of_this_computer(**options)
    release = _release(command)
    command.outcome.hosts = []
    for folder in ["", *release.apps]:
        path = wheelhouse.archive(release.environment_of(folder), target)
        command.report.say(f"{folder or 'ours'}: {path} ({path.stat().st_size >> 20} MB)")
    command.outcome.summary = f"all that hosts of the kind {target.tag} need is in {wheelhouse.cache()}"


def _release(command: Command) -> Release:
    """The release of now; checked."""
    command.check_config()
    release = build(command.fleet, command.config)
    command.outcome.release = release.id
    return release


def _plans(command: Command, reach: Reach, release: Release) -> dict[str, HostPlan]:
    """Every reachable chosen host's plan."""

    def one(host: str) -> HostPlan:
        told = reach.hello[host]
        if why := plan.unfit(command.fleet, host):
            raise HostRefused("failed", why, [])
        system = SYSTEMS[command.fleet.hosts[host].os]
        states = reach.call(host, "states", programs=plan.wanted(command.fleet, host), limit_s=30)
        before = told["deployed"]["current"]
        names = [CONF, KEEPER, PROGRAMS]
        present = reach.call(host, "read_host_files", release=before, names=names) if before else {}
        return plan.make(
            command.fleet, host, release, system, told["machine"], told["deployed"], states, present
        )  # fmt: skip

    found: dict[str, HostPlan] = {}
    for host, value in reach.each(one, chosen(command, reach)).items():
        if isinstance(value, FairleadError):
            command.fail(host, "unreachable" if isinstance(value, Unreachable) else "failed", str(value))
        else:
            found[host] = value
    check_hosts(command)
    plans = {host: found[host] for host in command.hosts if host in found}
    for host, made in plans.items():
        row = command.results[host]
        row.before = row.now = made.before
        row.result = row.result or "unchanged"
    return plans


def _report_plans(command: Command, plans: dict[str, HostPlan]) -> None:
    command.outcome.more["plan"] = {
        host: {"changes": p.changes, "restart": p.to_restart, "stop": p.to_stop, "diff": p.diff}
        for host, p in plans.items()
    }
    for host, made in plans.items():
        row = command.results[host]
        row.result, row.detail = ("would change" if made.changes else "unchanged"), "; ".join(made.changes)
        row.now = made.release if made.changes else made.before
        if made.diff:
            command.report.print(made.diff)


def _back_plan(command: Command, reach: Reach, host: str, target: str) -> HostPlan:
    told = reach.hello[host]["deployed"]
    release = target or next(iter(told["previous"]), "")
    row = command.results[host]
    row.before = row.now = told["current"]
    if not release:
        command.fail(host, "failed", "there is no earlier release that was found good; `fab releases` shows all")
        return HostPlan(host, "", told["current"], {}, {}, [], [], [], [], [])
    if release not in told["releases"]:
        known = ", ".join(told["releases"]) or "none"
        command.fail(host, "failed", f"release {release} is not here (there are: {known})")
        return HostPlan(host, release, told["current"], {}, {}, [], [], [], [], [])
    programs = programs_in(reach, host, release)
    changes = [f"release {told['current']} -> {release}"] if release != told["current"] else []
    row.result = "unchanged"
    return HostPlan(
        host, release, told["current"], {}, {}, programs, [], [], [p["name"] for p in programs], ["?"], changes
    )  # fmt: skip


def _roll(
    command: Command, reach: Reach, plans: dict[str, HostPlan], serving: list[str], traffic: Traffic, batch: int
) -> None:
    goal = ", ".join(sorted({p.release for p in plans.values() if p.changes}))
    rollout = Rollout(reach, plans, command.results, reach.note)
    _announce(reach, f"{command.name} of release {goal} begins on {len(plans)} hosts")
    traffic.begins()
    try:
        rollout.run(serving, batch)
        if rollout.failure is None:
            _until_ready(command, reach, plans)
            rollout.drop_removed()
    except KeyboardInterrupt:
        rollout.stop()
        raise
    except HostRefused as error:
        rollout.failure = ("", error)
    outcome = command.outcome
    if rollout.failure is None:
        outcome.code = command.code_of_hosts()
        changed = sum(1 for row in outcome.hosts if row.result in ("new", "changed"))
        off = [row.host for row in outcome.hosts if row.result == "unreachable"]
        outcome.summary = f"{changed} changed, on release {goal}"
        if off:
            outcome.summary += f"; not reached: {', '.join(off)}: run it again when they are there"
    else:
        host, why = rollout.failure
        command.report.say(f"{host}: {why}; taking back what was changed", "bold red")
        lost = isinstance(why, Unreachable)
        stuck = rollout.take_back(serving)
        outcome.code = Code.REVERT_FAILED if stuck else Code.UNREACHABLE if lost else Code.REVERTED
        where = f"{host}: " if host else ""
        outcome.summary = f"release {goal} was taken back from every host: {where}{why}"
        if stuck:
            outcome.summary = f"release {goal} is not good ({where}{why}), and stays on {', '.join(stuck)}"
    _announce(reach, f"{command.name} of release {goal} ends: {outcome.code.name.lower()}")
    reach.on_all(
        "audit", what=command.name, release=goal, result=outcome.code.name.lower(), took_s=_seconds(outcome.hosts)
    )


def _seconds(rows: Iterable[HostResult]) -> float:
    return round(sum(row.took_s for row in rows), 1)


def _until_ready(command: Command, reach: Reach, plans: dict[str, HostPlan]) -> None:
    """Every balancer must see the nodes of this rollout, unless an operator holds them back; else HostRefused."""
    ours = {n.name for n in command.fleet.nodes if n.host in plans}
    until = time.monotonic() + READY_S
    for balancer in command.fleet.balancers:
        while True:
            shot = reach.call(balancer.host, "snapshot", port=balancer.control_port)
            nodes = shot["nodes"] if shot else []
            meant = [n for n in nodes if n["name"] in ours and n["admin"] == "enabled" and n["weight"]]
            missing = [n for n in meant if not n["ready"]]
            if shot and not missing:
                break
            if time.monotonic() > until:
                text = ", ".join(f"{n['name']} is {n['state']} ({n['cause']})" for n in missing) or "it does not answer"
                raise HostRefused("gate", f"balancer {balancer.name} after {READY_S:g} s: {text}", [])
            time.sleep(0.1)


def _announce(reach: Reach, text: str) -> None:
    """An event on every dashboard."""
    for balancer in reach.fleet.balancers:
        try:
            reach.call(balancer.host, "announce", port=balancer.control_port, text=text)
        except FairleadError:
            continue
