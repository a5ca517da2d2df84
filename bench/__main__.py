"""Measure, compare with the limits, keep the results: `python -m bench [NAME …]`. Exit code 1 if a limit is exceeded."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from bench import database, failover, policies, previews, results, verbs
from bench.results import Result
from local.problem import Problem

BENCHMARKS: Mapping[str, Callable[[], Sequence[Result]]] = {
    "preview": previews.against_flat,
    "growth": previews.growth,
    "policies": policies.cost,
    "check": verbs.check,
    "up-cold": verbs.up_cold,
    "up-warm": verbs.up_warm,
    "up-nothing": verbs.up_nothing,
    "test": verbs.test,
    "pgbench": database.pgbench,
    "failover": failover.failover,
}


def main() -> int:
    """Run the benchmarks that are named, or all of them."""
    described = "\n".join(f"  {name:<12}{action.__doc__}" for name, action in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"{__doc__}\n\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="the benchmarks to run; without one, all")
    names: list[str] = parser.parse_args().names or list(BENCHMARKS)
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        parser.error(f"{', '.join(unknown)}: no such benchmark; there are {', '.join(BENCHMARKS)}")
    slow = False
    try:
        for name in names:
            measured = BENCHMARKS[name]()
            results.write(measured)
            for result in measured:
                print(result, flush=True)
                slow = slow or not result.passed
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
