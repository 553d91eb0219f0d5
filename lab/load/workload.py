"""What the load is made of: kinds of requests, how their arrivals scatter, how long each may take.

The same description drives the generator, Locust's workers and the simulation. As a file it is JSON:

    {"arrivals": "poisson", "deadline_s": 10,
     "kinds": {"general": {"share": 3, "path": "/", "mean_ms": 20, "scv": 0.5}, "api": {"share": 1, "path": "/api"}}}
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from cluster.errors import ConfigError, Problem

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]
UrlPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=2000)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class KindLoad(_Model):
    """One kind of request."""

    share: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1.0
    """Relative to the other kinds' shares."""
    path: UrlPath = "/"
    """Path and query."""
    mean_ms: Annotated[float, Field(gt=0, le=60_000)] | None = None
    """Mean service time on a node of speed 1. The request then carries its own drawn time (`?service_ms=`), which
    simulated nodes obey. Left out: the node decides."""
    scv: Annotated[float, Field(ge=0, le=100)] = 0.5
    """Variance / mean^2 of the service times (lognormal; 0: all the same)."""


class Workload(_Model):
    """A load without its rate."""

    arrivals: Literal["poisson", "constant", "bursts"] = "poisson"
    """`poisson`: independent people. `constant`: evenly spaced. `bursts`: Poisson, whose rate switches at random
    between a third and five thirds of the mean, about every two seconds (a Markov-modulated Poisson process)."""
    deadline_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """From the moment of sending; a request without its whole answer by then is given up and counts as a timeout."""
    kinds: Annotated[dict[Name, KindLoad], Field(min_length=1)]
    """Requests by kind."""

    @property
    def mean_ms(self) -> float | None:
        """Mean service time over all kinds on a node of speed 1; None when a kind leaves it to the node."""
        means = [kind.mean_ms for kind in self.kinds.values()]
        if any(mean is None for mean in means):
            return None
        shares = [kind.share for kind in self.kinds.values()]
        return sum(share * (mean or 0) for share, mean in zip(shares, means, strict=True)) / sum(shares)


TYPED = Workload(
    kinds={
        "general": KindLoad(share=40, path="/", mean_ms=50),
        "api": KindLoad(share=40, path="/api", mean_ms=20),
        "image": KindLoad(share=15, path="/image", mean_ms=200),
        "video": KindLoad(share=5, path="/video?bytes=32768", mean_ms=800),
    }
)
"""The default: the typed mix of the simulator (mean 98 ms). Long enough that a fleet on one laptop is busy before the
laptop is."""

PLAIN = Workload(kinds={"general": KindLoad(path="/", mean_ms=100, scv=1.0)})
"""One kind of request."""

FOREIGN = Workload(kinds={"general": KindLoad(path="/")})
"""For nodes that are not ours: GET / and nothing else."""

WORKLOADS = {"typed": TYPED, "plain": PLAIN, "foreign": FOREIGN}


def load(name_or_file: str) -> Workload:
    """A workload by its name, or from a JSON file. ConfigError names every problem."""
    if name_or_file in WORKLOADS:
        return WORKLOADS[name_or_file]
    try:
        text = Path(name_or_file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        known = ", ".join(WORKLOADS)
        raise ConfigError(name_or_file, [Problem("", f"cannot be read ({why}); give a JSON file or one of {known}")]) \
            from None  # fmt: skip
    return parse(text, name_or_file)


def parse(text: str, source: str = "workload") -> Workload:
    """A workload from JSON. ConfigError names every problem."""
    try:
        return Workload.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, e["loc"])), f"{_shown(e['input'])}{e['msg'].lower()}")
            for e in error.errors(include_url=False)
        ]
        raise ConfigError(source, problems) from None


def mixed(workload: Workload, mix: str) -> Workload:
    """The workload with other shares: `general=3,api=1`. Kinds that are not named are left out."""
    kinds = {}
    for part in mix.split(","):
        name, _, share = part.partition("=")
        try:
            kinds[name.strip()] = workload.kinds[name.strip()].model_copy(update={"share": float(share)})
            if not 0 < float(share) <= 1e6:
                raise ValueError
        except KeyError:
            raise ConfigError("--mix", [Problem(name, f"no such kind; known: {', '.join(workload.kinds)}")]) from None
        except ValueError:
            raise ConfigError("--mix", [Problem(name, f"{share!r}: give KIND=SHARE, a share above 0")]) from None
    return workload.model_copy(update={"kinds": kinds})


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return f"{text}: " if len(text) <= 60 and not isinstance(value, dict | list) else ""
