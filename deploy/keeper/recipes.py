"""What a keeper starts on its host: a command and an environment for each program of config.json."""

import os
import sys
from pathlib import Path

from cluster import paths
from cluster.config import Fleet, Runs
from cluster.programs import Program, Role, bind_address
from deploy import run_node
from deploy.keeper.child import Recipe
from deploy.render import STOP_WAIT_S, Options, environment

MODULES = {
    Role.NODE: ["node.serve"],
    Role.CONTROL: ["balancer.serve", "control"],
    Role.BALANCER: ["balancer.serve", "traffic"],
    Role.DASHBOARD: ["dashboard.serve"],
}
_NOT_INHERITED = ("FAIRLEAD_", "SUPERVISOR_", "GUNICORN_CMD_ARGS", "PYTHONPATH")


def recipes(programs: list[Program], fleet: Fleet, config: Path, lan: bool) -> list[Recipe]:
    """In the order of start. The listener is none of them: the keeper itself reports to the dashboard."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
    return [_recipe(p, fleet, config, lan, outside) for p in programs if p.role is not Role.LISTENER]


def _recipe(program: Program, fleet: Fleet, config: Path, lan: bool, outside: dict[str, str]) -> Recipe:
    state, project = paths.state_dir(), paths.PROJECT
    options = Options(config, state, paths.log_dir(), project, sys.executable, (program.host,), lan, paths.release())
    env = outside | environment(program, fleet, options)
    wait_s = STOP_WAIT_S[program.role]
    if program.role is Role.NODE and fleet.node(program.part).runs is Runs.COMMAND:
        env["FAIRLEAD_BIND"] = bind_address(program, fleet, lan)
        plan = run_node.plan(fleet.node(program.part), env, project, sys.executable)
        return Recipe(program.name, plan.argv, plan.directory, plan.environment, False, wait_s)
    env |= {"FAIRLEAD_KEPT": "1", "PYTHONPATH": str(project), "PYTHONUTF8": "1"}  # whatever Windows' code page
    return Recipe(program.name, [sys.executable, "-m", *MODULES[program.role]], project, env, True, wait_s)
