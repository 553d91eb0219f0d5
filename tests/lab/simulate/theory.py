"""What queueing theory says, in units of the mean service time (Kleinrock, Queueing Systems I; Mitzenmacher)."""

from math import exp, log


def erlang_c(servers: int, rho: float) -> float:
    """Probability of waiting in M/M/c, by the stable recursion of Erlang B."""
    offered, blocked = servers * rho, 1.0
    for j in range(1, servers + 1):
        blocked = offered * blocked / (j + offered * blocked)
    return blocked / (1 - rho * (1 - blocked))


def mm_c(servers: int, rho: float) -> float:
    """Mean time in M/M/c."""
    return 1 + erlang_c(servers, rho) / (servers * (1 - rho))


def mm_c_p99(servers: int, rho: float) -> float:
    """99 % quantile of the time in M/M/c, by bisection of its tail."""
    waits, drain = erlang_c(servers, rho), servers * (1 - rho)

    def tail(t: float) -> float:
        if abs(drain - 1) < 1e-9:
            return exp(-t) * (1 + waits * t)
        # service ~ exp(1) plus, with probability `waits`, a wait ~ exp(drain)
        both = (drain * exp(-t) - exp(-drain * t)) / (drain - 1)
        return (1 - waits) * exp(-t) + waits * both

    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > 0.01 else (low, middle)
    return low


def mg_1(rho: float, scv: float) -> float:
    """Mean time in M/G/1, Pollaczek and Khinchine."""
    return 1 + rho * (1 + scv) / (2 * (1 - rho))


def mm_1(rho: float) -> float:
    """Mean time in M/M/1, and in M/G/1 with processor sharing whatever the distribution."""
    return 1 / (1 - rho)


def mm_1_p99(rho: float) -> float:
    """99 % quantile of the time in M/M/1."""
    return log(100) / (1 - rho)


def round_robin(nodes: int, rho: float) -> float:
    """Mean time when a Poisson stream is dealt to `nodes` single servers in turn: E_n/M/1."""
    sigma = rho
    for _ in range(1000):
        sigma = (nodes * rho / (nodes * rho + 1 - sigma)) ** nodes
    return 1 / (1 - sigma)


def power_of_two(rho: float) -> float:
    """Mean time of two choices with endlessly many single servers."""
    return sum(rho ** (2**i - 2) for i in range(1, 60))


def power_of_two_tail(rho: float, length: int) -> float:
    """Share of nodes with at least `length` requests."""
    return rho ** (2**length - 1)
