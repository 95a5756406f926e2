"""A loop that only computes: the best time of some, in milliseconds."""

import time


def primes(limit: int) -> int:
    """Count the primes below a limit, by division."""
    numbers = range(2, limit)
    return sum(all(number % i for i in range(2, int(number**0.5) + 1)) for number in numbers)


def measure() -> float:
    """Time one loop."""
    begin = time.perf_counter()
    if primes(20000) != 2262:
        raise ValueError
    return (time.perf_counter() - begin) * 1000


print(f"python3, a loop that computes, ms: {min(measure() for _ in range(5)):.3f}")
