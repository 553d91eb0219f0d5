"""config.json: the one description of the fleet. Units are in the names; defaults stand here and nowhere else.

Field descriptions are the user's documentation: `python -m cluster.schema` makes `docs/config.md` and the schema.
"""

import ipaddress
import re
import shlex
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

_NAME, _COOKIE = r"^[A-Za-z][A-Za-z0-9-]{0,31}$", r"^[A-Za-z0-9_-]{1,64}$"
PATTERNS = {
    _NAME: "must be a letter, then letters, digits and -, at most 32 in all",
    _COOKIE: "must be letters, digits, _ and -, at most 64 in all",
}
"""What each pattern of this file asks for, in words."""

Name = Annotated[str, StringConstraints(pattern=_NAME)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


def _network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


Network = Annotated[str, AfterValidator(_network)]


def _path(value: str) -> str:
    if not value.startswith("/") or any(c <= " " or c > "~" for c in value):
        raise ValueError("must begin with / and hold printable ASCII without spaces")
    return value


UrlPath = Annotated[str, AfterValidator(_path)]


def _address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?", value):
            raise ValueError("must be a host name or an IP address alone: no http://, no port, no path") from None
    return value


Address = Annotated[str, AfterValidator(_address)]


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must hold no NUL character")
    return value


Text = Annotated[str, AfterValidator(_without_nul)]


def _relative(value: str) -> str:
    parts = value.split("/")
    if not value or value.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\\" in value:
        raise ValueError("must be a path inside the project's folder, like apps/shop: no / before it, no .. in it")
    return _without_nul(value)


RelativePath = Annotated[str, AfterValidator(_relative)]


def _variable(value: str) -> str:
    if not value or "=" in value or "\0" in value:
        raise ValueError("is not the name of an environment variable")
    return value


Variable = Annotated[str, AfterValidator(_variable)]


class Kind(StrEnum):
    """What a node is for; also the first path segment of the requests of that kind."""

    GENERAL = "general"
    API = "api"
    IMAGE = "image"
    VIDEO = "video"


class Runs(StrEnum):
    """Who runs a node's process."""

    SIMULATED = "simulated"
    COMMAND = "command"
    EXTERNAL = "external"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Host(Model):
    """A machine."""

    address: Address = "127.0.0.1"
    """Name or IP address at which the other hosts reach it."""
    os: Literal["linux", "windows"] = "linux"
    """Operating system."""
    connection: Literal["local", "ssh"] = "local"
    """`local`: this machine. `ssh`: Fabric reaches it over SSH."""
    user: str | None = None
    """SSH user; the operator's own name when not given."""


class Timeouts(Model):
    """Time limits of the data path, in seconds."""

    connect_s: Seconds = 1.0
    """Opening a connection to a node."""
    first_byte_s: Seconds = 30.0
    """From the request sent to the first byte of the node's answer (504 after it)."""
    idle_s: Seconds = 30.0
    """Longest silence inside a body, either way."""
    whole_s: Seconds = 3600.0
    """One request from its head to the last byte of its answer; tunnels are not bound by it."""
    head_s: Seconds = 10.0
    """From the first byte of a request's head to its end (408 after it)."""
    keep_alive_s: Seconds = 65.0
    """How long an idle client connection is kept."""
    node_keep_alive_s: Seconds = 4.0
    """How long an idle connection to a node is kept; must be shorter than the node's own limit."""
    tunnel_idle_s: Seconds = 3600.0
    """Longest silence on an upgraded connection (WebSocket)."""
    no_node_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    """How long a request waits for a node when none is ready, before it gets 503."""


class Limits(Model):
    """Sizes beyond which a request is refused with a clear error."""

    line_bytes: Annotated[int, Field(ge=256, le=65536)] = 8192
    """Request target (414)."""
    head_bytes: Annotated[int, Field(ge=1024, le=1048576)] = 65536
    """Whole request or response head (431; 502 for a node's)."""
    fields: Annotated[int, Field(ge=8, le=1000)] = 100
    """Header fields in a head (431; 502 for a node's)."""
    body_bytes: Annotated[int, Field(ge=0)] = 0
    """Request body (413); 0 = no limit, bodies are streamed."""
    connections: Annotated[int, Field(ge=16, le=100000)] = 10000
    """Client connections a worker holds at once; more wait in the kernel."""
    connections_per_client: Annotated[int, Field(ge=0, le=100000)] = 0
    """Connections of one client address that a worker holds at once (429 beyond); 0 = no limit."""
    idle_node_connections: Annotated[int, Field(ge=0, le=10000)] = 256
    """Idle kept-alive connections that a worker keeps to each node."""


class Retries(Model):
    """When a request may be tried on another node."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Most attempts for one request, the first included; each on a different node as long as there is one."""
    budget: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Retries are at most this share of the requests (and 10 a second), so that they cannot multiply the load."""
    hedge_after_s: Annotated[float, Field(gt=0, le=60)] | None = None
    """An idempotent request unanswered for so long goes to a second node too, if no cookie binds it; unset: never."""


class Tls(Model):
    """TLS towards clients."""

    certificate: str
    """PEM file with the certificate and its chain; relative to the project's folder."""
    key: str
    """PEM file with the private key; only its owner should be able to read it."""


class Queue(Model):
    """Requests that wait in the balancer while every node has its `max_in_flight`."""

    size: Annotated[int, Field(ge=0, le=100000)] = 1000
    """Most requests that wait in one worker; further ones get 503 at once."""
    timeout_s: Seconds = 5.0
    """Longest wait; 503 after it."""


class Route(Model):
    """Requests below a path go to some of the nodes only. The longest path that fits counts."""

    path: UrlPath
    """Path prefix, whole segments: `/image` fits `/image` and `/image/7`, not `/images`."""
    kind: Kind | None = None
    """To the nodes of this kind."""
    nodes: tuple[Name, ...] = ()
    """To the nodes of these names; together with `kind`: to both."""


class Sticky(Model):
    """A client stays with the node that answered it first, by a signed cookie, as long as that node is ready."""

    cookie: Annotated[str, StringConstraints(pattern=_COOKIE)] = "fairlead"
    """Name of the cookie."""
    max_age_s: Annotated[int, Field(ge=0, le=31536000)] = 0
    """How long the browser keeps it; 0 = until it is closed."""


class Balancer(Model):
    """One balancer: its workers on `port`, its control API on `control_port`."""

    name: Name
    """Unique name."""
    host: str = "here"
    """Key of the host it runs on."""
    port: Port = 8080
    """Traffic."""
    control_port: Port = 8081
    """Control API (token)."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """gunicorn workers that share the scoreboard."""
    algorithm: str = "round_robin"
    """Algorithm at first start; what an operator switches to later is kept beside, not here."""
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    retries: Retries = Retries()
    queue: Queue = Queue()
    routes: Annotated[tuple[Route, ...], Field(max_length=15)] = ()
    """Requests that fit none go to all nodes."""
    sticky: Sticky | None = None
    """Left out: every request is picked anew."""
    tls: Tls | None = None
    """Left out: plain HTTP."""
    trusted_proxies: tuple[Network, ...] = ()
    """Networks whose X-Forwarded-* fields are believed and extended; from all others they are replaced."""
    decision_log: bool = False
    """Write each pick with its inputs to `logs/decisions.jsonl`, so that it can be replayed."""


class ProbeSettings(Model):
    """Active checks, done by the control process."""

    enabled: bool = True
    """Off: health stays `unknown` and nodes are judged by passive ejection alone."""
    interval_s: Seconds = 1.0
    """Time between two probes of a node; a tenth of it while the last one contradicts what its health is said to be."""
    jitter: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    """Each interval is drawn from interval_s x (1 - jitter) to interval_s x (1 + jitter)."""
    timeout_s: Seconds = 1.0
    """A probe that takes longer has failed."""
    rise: Annotated[int, Field(ge=1, le=100)] = 2
    """Passes in a row until a node that was down is up."""
    fall: Annotated[int, Field(ge=1, le=100)] = 3
    """Fails in a row until a node is down."""


class Ejection(Model):
    """Passive removal: what the workers see on real requests."""

    enabled: bool = True
    """Off: only probes take a node out."""
    consecutive_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """Failed attempts in a row (refused, reset, cut off, too slow, not HTTP) until a node sits out."""
    base_s: Seconds = 5.0
    """First time out; doubled at each further ejection."""
    max_s: Seconds = 60.0
    """Longest time out."""
    max_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """At most this share of the nodes sits out at once, but always at least one may."""


class Health(Model):
    """How node health is found out, the same for all balancers."""

    probe: ProbeSettings = ProbeSettings()
    ejection: Ejection = Ejection()
    slow_start_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """A node that comes back from down is given a share that grows from 10 % to its whole in this time; 0 = off."""


class NodeProbe(Model):
    """How this one node is probed."""

    enabled: bool = True
    """Off: this node is never probed; its health stays `unknown`."""
    path: UrlPath | None = None
    """Path that answers 2xx or 3xx when the node is well. Simulated nodes: `/-/health`; others must name theirs."""


class App(Model):
    """The folder of a command node's own program, which `fab deploy` brings to the node's host."""

    path: RelativePath
    """Folder, relative to the project's."""
    requirements: RelativePath | None = None
    """File there with packages for pip, which `command` finds first. Left out: the system's Python alone."""


class Node(Model):
    """A backend process."""

    name: Name
    """Unique name."""
    host: str = "here"
    """Key of the host it runs on; not used when `address` is given."""
    port: Port
    """Port it listens on."""
    kind: Kind = Kind.GENERAL
    """What it serves."""
    runs: Runs = Runs.SIMULATED
    """`simulated`: ours. `command`: your program, kept alive by Supervisor. `external`: an address, none started."""
    weight: Annotated[int, Field(ge=0, le=256)] = 1
    """Relative share for algorithms that use weights; 0 = picked by nobody."""
    slots: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Requests it works on at once; 8 for simulated nodes when not given, else unknown."""
    max_in_flight: Annotated[int, Field(ge=1, le=100000)] | None = None
    """Most requests that a balancer has at it at once; further ones wait in the balancer's queue (late binding)."""
    speed: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Simulated nodes only: 2.0 serves in half the time."""
    address: Address | None = None
    """External nodes: name or IP address."""
    command: Text | None = None
    """Command nodes: the program and its arguments; `{port}` and `{name}` are filled in."""
    directory: Text | None = None
    """Command nodes: where it is started, relative to `app.path`, else to the project's folder; that folder itself when
    not given (in the project's lies `.run/token`: a program that serves files needs another one)."""
    app: App | None = None
    """Command nodes: the program's own folder. Left out: it is on the host already."""
    environment: dict[Variable, Text] = {}
    """Command nodes: environment variables. Not for secrets: config.json is not secret."""
    probe: NodeProbe = NodeProbe()

    @property
    def known_slots(self) -> int | None:
        """Slots when they are known: as configured, or 8 for our own nodes."""
        return self.slots if self.slots is not None or self.runs is not Runs.SIMULATED else 8

    @property
    def probe_path(self) -> str | None:
        """Where a probe asks; None when there is nothing to ask."""
        if not self.probe.enabled:
            return None
        return self.probe.path or ("/-/health" if self.runs is Runs.SIMULATED else None)

    @model_validator(mode="after")
    def _fits_runs(self) -> Self:
        wants = {Runs.COMMAND: "command", Runs.EXTERNAL: "address"}.get(self.runs)
        if wants and not getattr(self, wants):
            raise ValueError(f'runs "{self.runs}" needs "{wants}"')
        for field, runs in (("command", Runs.COMMAND), ("app", Runs.COMMAND), ("address", Runs.EXTERNAL)):
            if getattr(self, field) is not None and self.runs is not runs:
                raise ValueError(f'"{field}" belongs to runs "{runs}", this node has runs "{self.runs}"')
        if self.command is not None:
            try:
                words = shlex.split(self.command)
            except ValueError as error:
                raise ValueError(f'"command" cannot be split into words: {error}'.lower()) from None
            if not words:
                raise ValueError('"command" is empty')
        return self


class Dashboard(Model):
    """The browser page."""

    host: str = "here"
    """Key of the host it runs on."""
    port: Port = 8090
    """Where browsers connect."""
    lab: bool = False
    """The page may put faults on simulated nodes, send traffic and start comparisons. For shows and classes."""
    anonymous_view: bool = False
    """Whoever reaches the page may look without a token (a wall screen); steering still needs the operator's."""


class Fleet(Model):
    """The whole of config.json."""

    fleet: Name = "local"
    """Name of the fleet, shown on the dashboard."""
    hosts: dict[Name, Host] = {"here": Host()}
    """Machines by key."""
    balancers: Annotated[tuple[Balancer, ...], Field(min_length=1)]
    """At least one."""
    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]
    """At least one."""
    dashboard: Dashboard | None = None
    """Left out: no dashboard."""
    health: Health = Health()

    def node(self, name: str) -> Node:
        """The node of that name; KeyError when there is none."""
        return {n.name: n for n in self.nodes}[name]

    def balancer(self, name: str) -> Balancer:
        """The balancer of that name; KeyError when there is none."""
        return {b.name: b for b in self.balancers}[name]

    def address_of(self, node: Node) -> tuple[str, int]:
        """Host name or IP address, and port, at which a node is reached."""
        return (node.address or self.hosts[node.host].address, node.port)
