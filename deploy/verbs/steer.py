"""drain, enable, restart, exec: steer what runs."""

from collections import defaultdict

from cluster.config import Runs
from cluster.errors import ConfigError, FairleadError, Problem
from deploy import draining
from deploy.command import Command, Ends
from deploy.outcome import Code
from deploy.plan import HostPlan
from deploy.reach import Reach
from deploy.rollout import Rollout, programs_in
from deploy.verbs.opening import all_hosts, clients, locked, serving_now


def drain(command: Command) -> None:
    """No new requests for the chosen nodes, by order of the operator: until `enable`, whatever restarts."""
    _order(command, "draining")


def enable(command: Command) -> None:
    """Requests again for the chosen nodes."""
    _order(command, "enabled")


def _order(command: Command, admin: str) -> None:
    wanted = [name for name in str(command.options.get("nodes") or "").split(",") if name]
    known = [node.name for node in command.fleet.nodes]
    problems = [Problem("--nodes", f"{name!r} is none of {', '.join(known)}") for name in wanted if name not in known]
    if problems:
        raise ConfigError("fab", problems)
    nodes = wanted or [n.name for n in command.fleet.nodes if n.host in command.hosts and n.runs is not Runs.EXTERNAL]
    if not nodes:
        raise Ends(Code.PENDING, f"there is no node on {', '.join(command.hosts)}; name some with --nodes")
    with command.reach([b.host for b in command.fleet.balancers]) as reach:
        for balancer in command.fleet.balancers:
            for node in nodes:
                reach.call(balancer.host, "order", port=balancer.control_port, node=node, admin=admin)
                command.outcome.more.setdefault("nodes", {})[node] = admin
    command.outcome.hosts = []
    command.outcome.summary = f"{', '.join(nodes)}: {admin}"


def restart(command: Command) -> None:
    """Restart programs of the chosen hosts as a deploy would: drained, one after the other, seen to be well."""
    wanted = [name for name in str(command.options.get("programs") or "").split(",") if name]
    with all_hosts(command) as reach, locked(command, reach):
        if command.options.get("supervisor"):
            _supervisors(command, reach)
            return
        serving = serving_now(reach)
        plans = {}
        for host in (h for h in command.hosts if h in reach.connected):
            release = reach.hello[host]["deployed"]["current"]
            if not release:
                raise Ends(Code.PREFLIGHT, f"nothing is deployed on {host} yet")
            programs = programs_in(reach, host, release)
            names = [p["name"] for p in programs if not wanted or p["name"] in wanted]
            row = command.results[host]
            row.before = row.now = release
            row.result = "unchanged"
            plans[host] = HostPlan(
                host, release, release, {}, {}, programs, [], [], names, [], [f"restart {n}" for n in names]
            )
        if not any(p.changes for p in plans.values()):
            every = sorted({p["name"] for made in plans.values() for p in made.programs})
            raise ConfigError("fab", [Problem("--programs", f"fits none of {', '.join(every)}")])
        with clients(command, serving) as traffic:
            traffic.begins()
            rollout = Rollout(reach, plans, command.results, reach.note)
            rollout.run(serving)
            if rollout.failure is not None:
                host, why = rollout.failure
                raise Ends(Code.FAILED, f"{host}: {why}")
    command.outcome.code = command.code_of_hosts()
    command.outcome.summary = f"restarted on {sum(1 for p in plans.values() if p.changes)} hosts"


def _supervisors(command: Command, reach: Reach) -> None:
    """supervisord itself, which takes all programs of its host along: one host after the other."""
    for host in (h for h in command.hosts if h in reach.connected):
        nodes = [n.name for n in command.fleet.nodes if n.host == host]
        elsewhere = [b for b in command.fleet.balancers if b.host != host]
        held = {node: draining.drain(reach, node, elsewhere) for node in nodes}
        reach.call(host, "restart_supervisor", limit_s=120)
        for node, balancers in held.items():
            draining.restore(reach, node, balancers, ready_s=30)
        command.results[host].result = "changed"
    command.outcome.code = command.code_of_hosts()
    command.outcome.summary = "supervisord was restarted"


def execute(command: Command) -> None:
    """Run a shell command on the chosen hosts at once; equal answers are shown once. Exit 1 when one of them failed."""
    line = str(command.options["line"])
    limit_s = float(command.options.get("limit_s") or 60)
    with command.reach(as_root=bool(command.options.get("as_root"))) as reach:
        found = reach.on_all("execute", command=line, limit_s=limit_s)
    answers: dict[tuple[int, str], list[str]] = defaultdict(list)
    for host in command.hosts:
        told = found.get(host)
        if isinstance(told, dict):
            answers[(told["status"], told["output"])].append(host)
            row = command.results[host]
            row.result = "failed" if told["status"] else "ok"
            row.detail = f"exit {told['status']}"
        elif isinstance(told, FairleadError):
            command.fail(host, "failed", str(told))
    for (code, output), hosts in answers.items():
        command.report.print(f"== {', '.join(hosts)} (exit {code})\n{output.rstrip()}")
    command.outcome.more["output"] = {h: v for h, v in found.items() if isinstance(v, dict)}
    command.outcome.code = command.code_of_hosts()
    command.outcome.summary = f"ran on {len(found)} hosts"
