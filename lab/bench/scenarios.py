"""What is measured. A new scenario is one entry in `SCENARIOS`."""

from dataclasses import dataclass

from balancer.algorithms import ALGORITHMS

KIB, MIB = 1024, 1024 * 1024
ANSWERS = {"/small": 128, "/16k": 16 * KIB, "/1m": MIB}
"""What the nodes serve: path -> bytes of the body."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the balancers are started with. Scenarios of one setup share one set of processes."""

    nodes: int = 3
    workers: int = 1
    algorithm: str = "round_robin"
    tls: bool = False

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    key: str
    title: str
    path: str = "/small"
    connections: int = 32
    """Client connections that are open at once, each with one request under way."""
    upload_bytes: int = 0
    """Body of each request, sent by POST; 0: GET."""
    headers: tuple[str, ...] = ()
    """Fields that the client adds, such as `Connection: close`."""
    setup: Setup = Setup()
    least_s: int = 1
    """A round is at least so long, whatever the run asks for."""
    usual: bool = False
    """Part of a run that names no scenario."""


SCENARIOS = {
    scenario.key: scenario
    for scenario in (
        Scenario("small", "128 byte answers, 32 kept connections", usual=True),
        Scenario("16k", "16 KiB answers, 32 kept connections", path="/16k", usual=True),
        Scenario("1m", "1 MiB answers, 32 kept connections", path="/1m", usual=True),
        Scenario("new-connections", "a new connection for each request", headers=("Connection: close",)),
        Scenario("upload-16k", "16 KiB request bodies", upload_bytes=16 * KIB),
        Scenario("upload-1m", "1 MiB request bodies", upload_bytes=MIB),
        Scenario("connections-1", "1 kept connection", connections=1),
        Scenario("connections-100", "100 kept connections", connections=100),
        Scenario("connections-1000", "1,000 kept connections", connections=1000, least_s=2),
        Scenario("connections-5000", "5,000 kept connections", connections=5000, least_s=6),
        Scenario("tls", "TLS, 32 kept connections", setup=Setup(tls=True)),
        Scenario("tls-new-connections", "TLS, a new connection for each request", headers=("Connection: close",),
                 setup=Setup(tls=True)),
        Scenario("nodes-100", "100 nodes", setup=Setup(nodes=100)),
        Scenario("workers-2", "2 workers or threads (on the one CPU)", setup=Setup(workers=2)),
        *(
            Scenario(key.replace("_", "-"), f"the algorithm {key}", setup=Setup(algorithm=key))
            for key in ALGORITHMS if key != Setup().algorithm
        ),
    )
}  # fmt: skip
