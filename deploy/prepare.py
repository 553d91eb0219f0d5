"""Everything that can be done and tried before a host is switched: packages and release sent, each program booted."""

import io
from pathlib import Path

from cluster.errors import FairleadError
from deploy import wheelhouse
from deploy.command import Command, Ends
from deploy.hosts.connection import HostRefused, Unreachable
from deploy.outcome import Code
from deploy.plan import HostPlan, trials_by_host
from deploy.reach import Reach
from deploy.release import Release

PREPARE_S = 400.0


def prepare(command: Command, reach: Reach, plans: dict[str, HostPlan], release: Release) -> None:
    """Everything that can be done and tried before a host is switched. Ends(REVERTED) when the release is not good."""
    archive = release.archive()
    houses = _wheels(command, reach, plans, release)

    def one(host: str) -> None:
        made, deployed = plans[host], reach.hello[host]["deployed"]
        reach.call(host, "ports", wanted=made.ports)
        for folder, key in made.environments.items():
            if key not in deployed["envs"]:
                environment = release.environment_of(folder)
                house = houses[key]
                size = house.stat().st_size
                reach.call(host, "make_room", needed=6 * size)
                reach.note(host, f"is sent {size >> 20} MB of packages")
                with house.open("rb") as source:
                    reach.connection(host).upload(source, house.name, size)
                reach.call(
                    host, "make_env", key=key, wheels=house.name, lock=environment.requirements,
                    hashes=environment.hashed, limit_s=PREPARE_S,
                )  # fmt: skip
        if release.id not in deployed["releases"]:
            reach.call(host, "make_room", needed=4 * len(archive))
            reach.note(host, "is sent the release")
            reach.connection(host).upload(io.BytesIO(archive), f"{release.id}.tar", len(archive))
        apps = {folder: key for folder, key in made.environments.items() if folder}
        reach.call(
            host, "install", release=release.id, archive=f"{release.id}.tar", env=made.environments[""], apps=apps,
            files=made.files, limit_s=60,
        )  # fmt: skip

    def tried(host: str) -> None:
        if trials[host]:
            reach.call(host, "boot", release=release.id, trials=trials[host], limit_s=30 + 25 * len(trials[host]))
        reach.note(host, "is ready to switch")

    told = reach.each(one, [h for h in plans if plans[h].changes])
    there = {h: p for h, p in plans.items() if p.changes and not isinstance(told[h], FairleadError)}
    fresh = {host: made for host, made in there.items() if made.before != release.id}
    envs = {host: reach.hello[host]["deployed"]["envs"] for host in fresh}
    while fresh:
        trials = trials_by_host(reach.fleet, fresh, envs)
        told |= reach.each(tried, fresh)
        lost = [host for host in fresh if isinstance(told[host], Unreachable)]
        if not lost:
            break
        fresh = {host: made for host, made in fresh.items() if host not in lost}  # another tries what it was to try
    for host, value in told.items():
        if isinstance(value, Unreachable):
            command.fail(host, "unreachable", str(value))
            del plans[host]
        elif isinstance(value, HostRefused):
            result = "failed"
            command.fail(host, result, str(value), value.log)
        elif isinstance(value, FairleadError):
            command.fail(host, "failed", str(value))
    failed = [row for row in command.results.values() if row.result == "failed"]
    if not failed:
        return
    first = failed[0]
    reach.on_all("discard", plans, release=release.id)
    for row in failed:
        row.result, row.now = "reverted", row.before
    for row in command.results.values():
        row.result = row.result or "unchanged"
    raise Ends(
        Code.REVERTED, f"the release {release.id} is not good, no host was switched to it: {first.host}: {first.detail}"
    )


def _wheels(command: Command, reach: Reach, plans: dict[str, HostPlan], release: Release) -> dict[str, Path]:
    """Archives of the wheels that hosts lack, by environment. Ends(PREFLIGHT) when they cannot be had."""
    found: dict[str, Path] = {}
    for host, made in plans.items():
        told = reach.hello[host]
        target = wheelhouse.Target(told["machine"]["python"], told["machine"]["machine"], told["machine"]["libc"])
        for folder, key in made.environments.items():
            if made.changes and key not in found and key not in told["deployed"]["envs"]:
                reach.note(host, "needs packages: they are fetched")
                try:
                    found[key] = wheelhouse.archive(release.environment_of(folder), target)
                except wheelhouse.NoWheels as error:
                    raise Ends(Code.PREFLIGHT, f"nothing was changed: {error}") from None
    return found
