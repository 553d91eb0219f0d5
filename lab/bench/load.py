"""Load by wrk: closed loop, each connection sends its next request when the answer to the last one is there.

wrk runs a small Lua script of ours that prints what it counted as one JSON object, because the text that it prints for
people is rounded.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.bench.processes import on_cpu
from lab.bench.scenarios import Scenario

LATE_S = 10  # a request that takes longer counts as an error

_SCRIPT = """\
%s
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests":%%d,"bytes":%%d,"duration_us":%%d,"p50_us":%%d,"p99_us":%%d,'
    .. '"connect":%%d,"read":%%d,"write":%%d,"status":%%d,"timeout":%%d}\\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""


class LoadError(Exception):
    """wrk did not do its work; the message is for people."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk counted in one round."""

    requests: int
    received_bytes: int
    """Heads included."""
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    """Answers of status 400 and above, failed connects, reads and writes, and requests over `LATE_S`."""


def script(scenario: Scenario) -> str:
    """The Lua script for a scenario."""
    upload = scenario.upload_bytes
    return _SCRIPT % (f'wrk.method = "POST"\nwrk.body = string.rep("x", {upload})' if upload else "")


def parse(output: str) -> Load:
    """What the script printed, among what wrk itself prints. LoadError when it is not there."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            told = json.loads(line)
            return Load(
                requests=told["requests"],
                received_bytes=told["bytes"],
                duration_s=told["duration_us"] / 1e6,
                p50_ms=told["p50_us"] / 1e3,
                p99_ms=told["p99_us"] / 1e3,
                errors=sum(told[kind] for kind in ("connect", "read", "write", "status", "timeout")),
            )
    raise LoadError("wrk did not report what it counted:\n" + output.strip())


def run(wrk: str, scenario: Scenario, port: int, seconds: int, folder: Path, cpu: int) -> Load:
    """Load one balancer for `seconds` from that CPU."""
    lua = folder / f"{scenario.key}.lua"
    lua.write_text(script(scenario))
    argv = [wrk, "-t1", f"-c{scenario.connections}", f"-d{seconds}s", f"--timeout={LATE_S}s", f"--script={lua}"]
    for header in scenario.headers:
        argv += ["-H", header]
    argv.append(f"{scenario.setup.scheme}://127.0.0.1:{port}{scenario.path}")
    with on_cpu(cpu):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise LoadError(f"wrk ended with code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout)
