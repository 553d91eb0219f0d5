"""The tasks of `fab`: bring the fleet to its hosts, look at it, steer it. `fab --list`, `fab --help TASK`.

Each task is one function of `deploy.verbs`, which does the work; here stand only names, options and their help.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fabric.main import program
from invoke import Collection, Task

from deploy import command as commands
from deploy import usage
from deploy.command import Command
from deploy.verbs import deploy, doctor, init, look, setup, steer


class Option(NamedTuple):
    """One option of a task. Its default says its type, too."""

    name: str
    default: Any
    help: str


COMMON = (
    Option("hosts", "", "only these hosts: names and patterns, as in 'l*,dash'"),
    Option("roles", "", "only hosts of these roles: node, balancer, dashboard"),
    Option("except_", "", "not these hosts"),
    Option("json", False, "print one JSON object instead of tables"),
    Option("verbose", False, "print all that goes into the log file, too"),
    Option("config", "", "another file than config.json (also: FAIRLEAD_CONFIG)"),
)
PROGRAMS = Option("programs", "", "only these programs: node-l1,balancer ...")
NODES = Option("nodes", "", "only these nodes: l1,l2 ...")
BATCH = Option("batch", 0, "how many node hosts at a time, after the first; 0: as many as leave enough")
CHANGES = (
    Option("wait", 2, "seconds to wait when somebody else deploys"),
    Option("probe_path", "/", "what the clients that watch the change ask the balancers for"),
    Option("force", False, "go on although a balancer cannot be reached"),
)


def _task(name: str, verb: Callable[[Command], None], *options: Option, text: str = "") -> Task[Any]:
    """A task that runs a verb with these options and ends with its exit code."""

    def body(c: Any, **given: Any) -> None:
        config = given.pop("config")
        given["besides"] = given.pop("except_")
        sys.exit(commands.run(verb, name, Path(config) if config else None, c.config, **given))

    return _made(name, body, (*options, *COMMON), verb.__doc__ or text)


def _made(name: str, body: Callable[..., None], options: tuple[Option, ...], text: str) -> Task[Any]:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("c", kind)]
    for option in options:
        default = inspect.Parameter.empty if option.default is None else option.default
        parameters.append(inspect.Parameter(option.name, kind, default=default))
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what invoke reads options from
    body.__doc__ = text
    help = {option.name.strip("_").replace("_", "-"): option.help for option in options}
    positional = [option.name for option in options if option.default is None]
    return Task(body, name=name, help=help, positional=positional, auto_shortflags=False)


def _init(c: Any, addresses: str, user: str, file: str) -> None:
    sys.exit(init.init(addresses, user, Path(file)))


INIT = (
    Option("addresses", "", "BALANCER,DASHBOARD,NODE,NODE ... as names or IP addresses"),
    Option("user", "", "the account that administers them, when it is not called as you are here"),
    Option("file", "config.lan.json", "where to write it"),
)

namespace = Collection(
    _made("init", _init, INIT, "Write a configuration for your machines, to begin with."),
    _task(
        "setup", setup.setup,
        Option("no_firewall", False, "leave the hosts' firewalls alone"),
        Option("accept_new_keys", False, "pin unknown host keys without asking: for a LAN that you trust"),
    ),
    _task("plan", deploy.show_plan),
    _task(
        "fetch", deploy.fetch,
        Option("python", "", "the hosts' Python, such as 3.11 (default: as here)"),
        Option("machine", "", "x86_64, aarch64 ... (default: as here)"),
        Option("libc", "", "such as glibc-2.36 (default: as here)"),
    ),
    _task("deploy", deploy.deploy, BATCH, *CHANGES),
    _task("rollback", deploy.rollback, Option("release", "", "its id; `fab releases` lists them"), BATCH, *CHANGES),
    _task("releases", look.releases),
    _task("status", look.status),
    _task(
        "logs", look.logs, PROGRAMS,
        Option("lines", 20, "how many of each program"),
        Option("grep", "", "only lines that contain this"),
        Option("follow", False, "go on with what comes, until Ctrl-C"),
    ),
    _task("audit", look.audit, Option("lines", 20, "how many of each host")),
    _task("doctor", doctor.doctor),
    _task("firewall", setup.firewall, Option("show", False, "only show the rules")),
    _task(
        "restart", steer.restart, PROGRAMS,
        Option("supervisor", False, "supervisord itself, with all of its programs"), *CHANGES,
    ),
    _task("drain", steer.drain, NODES),
    _task("enable", steer.enable, NODES),
    _task(
        "exec", steer.execute,
        Option("line", None, "the command, in quotes"),
        Option("as_root", False, "as the hosts' administrator, not as the fleet's account"),
        Option("limit_s", 60, "seconds after which it is ended"),
    ),
    _task("teardown", setup.teardown, Option("yes", False, "do not ask")),
)  # fmt: skip

usage.end_with_2(program)
