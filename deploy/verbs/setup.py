"""setup, firewall, teardown: what needs an administrator of the host, once."""

import secrets
import sys
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError, FairleadError
from deploy import firewall as rules
from deploy import systemd
from deploy.command import Command, Ends
from deploy.hosts import SYSTEMS
from deploy.outcome import Code
from deploy.reach import Reach
from deploy.render import STOP_WAIT_S
from deploy.windows import boot_task

LAUNCHER = Path(boot_task.__file__).with_name("launch.py")


def setup(command: Command) -> None:
    """Account, folders, service, firewall, the fleet's token. Harmless when all is there already."""
    command.report.watch(command.hosts)
    with command.reach(as_root=True, confirm=_confirm(command)) as reach:

        def one(host: str) -> list[str]:
            system = SYSTEMS[command.fleet.hosts[host].os]
            files = _files(command.fleet.hosts[host].os)
            done: list[str] = reach.call(
                host, "set_up", fleet=command.fleet.fleet, account=system.account, files=files, limit_s=120
            )
            return done

        _note_done(command, reach.each(one))
        if not command.options.get("no_firewall"):
            _apply(command, reach)
    _check(command)
    with command.reach() as reach:
        _share_token(command, reach)
    _check(command)
    command.outcome.code = command.code_of_hosts()
    changed = sum(1 for row in command.outcome.hosts if row.result == "changed")
    command.outcome.summary = f"{changed} changed; next: fab deploy"


def _files(os: str) -> dict[str, str]:
    """What starts the fleet at boot."""
    system = SYSTEMS[os]
    if os == "windows":
        task = boot_task.task("{python}", f"-X utf8 {system.root}/launch.py", system.root, "{user}")
        return {"launch.py": LAUNCHER.read_text(), "task.xml": task}
    return {systemd.UNIT: systemd.unit(systemd.UNIT, system.root, system.account, max(STOP_WAIT_S.values()))}


def firewall(command: Command) -> None:
    """Bring the firewalls in line with config.json, then see from every host who reaches what."""
    command.report.watch(command.hosts)
    if command.options.get("show"):
        command.outcome.more["rules"] = texts = _texts(command)
        for host, text in texts.items():
            command.report.print(f"# {host}\n{text}")
        command.outcome.summary = "nothing was done"
        return
    with command.reach(as_root=True) as reach:
        _apply(command, reach)
        _check(command)
        problems = _prove(command, reach)
    command.outcome.more["proof"] = problems
    command.outcome.code = Code.FAILED if problems else command.code_of_hosts()
    changed = sum(1 for row in command.outcome.hosts if row.result == "changed")
    command.outcome.summary = "; ".join(problems) if problems else f"{changed} changed; who may connects, others do not"


def teardown(command: Command) -> None:
    """Leave nothing of the fleet on the chosen hosts: programs, files, units, rules, account."""
    command.report.watch(command.hosts)
    if not (command.options.get("yes") or _asked(f"Remove the fleet from {', '.join(command.hosts)}?")):
        raise Ends(Code.PENDING, "nothing was removed; --yes says yes beforehand")
    with command.reach(as_root=True) as reach:
        accounts = {host: SYSTEMS[command.fleet.hosts[host].os].account for host in reach.connected}
        found = reach.each(lambda host: reach.call(host, "tear_down", account=accounts[host], limit_s=180))
    _note_done(command, found)
    command.outcome.code = command.code_of_hosts()
    command.outcome.summary = (
        f"removed from {sum(1 for r in command.results.values() if r.result != 'unreachable')} hosts"
    )


def _note_done(command: Command, found: dict[str, Any]) -> None:
    for host, done in found.items():
        if isinstance(done, FairleadError):
            command.fail(host, "failed", str(done))
            continue
        row = command.results[host]
        row.detail = "; ".join([*([row.detail] if row.detail else []), *done])
        row.result = "changed" if done or row.result == "changed" else "unchanged"


def _check(command: Command) -> None:
    failed = [row for row in command.results.values() if row.result == "failed"]
    if failed:
        raise Ends(Code.PREFLIGHT, f"{failed[0].host}: {failed[0].detail}")


def _confirm(command: Command) -> Any:
    def ask(host: str, key: str) -> bool:
        if command.options.get("accept_new_keys"):
            command.report.say(f"{host}: its key is {key}; pinned, because of --accept-new-keys", "yellow")
            return True
        return _asked(f"{host} says that its key is {key}. Is that so?")

    return ask


def _asked(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return input().strip().lower() in ("y", "yes")


def _share_token(command: Command, reach: Reach) -> None:
    """One token for the fleet. Hosts that have it decide; the operator's computer keeps none."""
    held = {host: token for host, token in reach.on_all("token").items() if isinstance(token, str) and token}
    first = [b.host for b in command.fleet.balancers] + (
        [command.fleet.dashboard.host] if command.fleet.dashboard else []
    )
    token = next((held[host] for host in [*first, *held] if host in held), "")
    if not token:
        token = _token_elsewhere(command, [host for host in first if host not in reach.hosts]) or secrets.token_urlsafe(
            24
        )
    different = [host for host in reach.connected if held.get(host) != token]
    for host, told in reach.on_all("token", different, give=token).items():
        if isinstance(told, FairleadError):
            command.fail(host, "failed", str(told))
        else:
            _note_done(command, {host: ["the fleet's token"]})


def _token_elsewhere(command: Command, hosts: list[str]) -> str:
    """The token of hosts that this command is not about: a host that comes later gets the one that they have."""
    if not hosts:
        return ""
    try:
        with command.reach(hosts) as reach:
            return next((t for t in reach.on_all("token").values() if isinstance(t, str) and t), "")
    except Ends:
        return ""


# -- firewall --------------------------------------------------------------------------------------------------------


def _apply(command: Command, reach: Reach) -> None:
    told = {host: reach.hello[host]["machine"] for host in reach.hello}
    addresses = rules.lan_addresses(command.fleet, {host: m["address"] for host, m in told.items()})
    for host in list(told):
        why = rules.refused_network(told[host]["lan"])
        if why:
            command.fail(host, "failed", f"its network cannot be told ({why}); run with --no-firewall")

    def one(host: str) -> list[str]:
        system = SYSTEMS[command.fleet.hosts[host].os]
        found = rules.rules(command.fleet, host, told[host]["lan"], told[host]["operator"], addresses)
        answer = reach.call(
            host, "firewall", wanted=rules.wanted(found, system, told[host]["lan"]), account=system.account, limit_s=120
        )  # fmt: skip
        command.outcome.more.setdefault("firewall", {})[host] = answer
        done: list[str] = answer["done"]
        return done

    _note_done(command, reach.each(one, [h for h in reach.connected if command.results[h].result != "failed"]))


def _texts(command: Command) -> dict[str, str]:
    """The rules as they would be, as far as config.json alone tells."""
    addresses = rules.lan_addresses(command.fleet, {})
    return {
        host: rules.nftables(rules.rules(command.fleet, host, "LAN", "OPERATOR", addresses)) for host in command.hosts
    }


def _prove(command: Command, reach: Reach) -> list[str]:
    """From each host to each node and control port: who may must get through, who may not must not."""
    told = {host: reach.hello[host]["machine"] for host in reach.hello}
    addresses = rules.lan_addresses(command.fleet, {host: m["address"] for host, m in told.items()})
    expected: dict[str, dict[str, bool]] = {host: {} for host in told}
    for target in told:
        for rule in rules.rules(command.fleet, target, told[target]["lan"], told[target]["operator"], addresses):
            for host in told:
                if host == target:
                    continue
                may = addresses[host] in rule.sources or told[target]["lan"] in rule.sources
                expected[host][f"{addresses[target]}:{rule.port}"] = may
    problems = []
    for host, targets in expected.items():
        pairs = [(name.rpartition(":")[0], int(name.rpartition(":")[2])) for name in targets]
        try:
            seen = reach.call(host, "connect", targets=pairs, timeout_s=1.0, limit_s=10 + 2 * len(pairs))
        except (FairleadError, ConfigError) as error:
            problems.append(f"{host}: {error}")
            continue
        for name, may in targets.items():
            through = seen[name] in ("open", "Connection refused")  # refused: it got there, and nobody listens yet
            if through != may:
                problems.append(f"{host} -> {name}: {seen[name]}, but it {'may' if may else 'must not'} get through")
    return problems
