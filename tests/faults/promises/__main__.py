"""See scripts/promises."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.faults.promises import flooded, hung, passing, retried
from tests.faults.promises.figure import Figure, crowded, table

Measure = Callable[[Path], Awaitable[list[Figure]]]

SHORT: Mapping[str, Measure] = {
    "L5": lambda home: passing.measure(home, streams=50, seconds=5, keep_alive_s=1),
    "L6": lambda home: hung.measure(home, rate=100, seconds=8, rounds=4),
    "L7": lambda home: flooded.measure(home, streams=200),
    "L12": lambda home: retried.measure(home, rate=50, seconds=10),
}
LONG: Mapping[str, Measure] = {
    "L5": lambda home: passing.measure(home, streams=100, seconds=30, keep_alive_s=15),
    "L6": lambda home: hung.measure(home, rate=100, seconds=300, rounds=5),
    "L7": lambda home: flooded.measure(home, streams=1000),
    "L12": lambda home: retried.measure(home, rate=200, seconds=60),
}


def measured(name: str, measure: Measure) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix=f"promise-{name}-") as folder:

        async def run() -> list[Figure]:
            return await measure(Path(folder))

        return asyncio.run(run())


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/promises", description="What is promised under load, measured.")
    parser.add_argument("promises", nargs="*", metavar="PROMISE", help=f"of {', '.join(LONG)}; default: all")
    parser.add_argument("--long", action="store_true", help="at the size of the promise: minutes, not seconds")
    parser.add_argument("--json", action="store_true", dest="as_json")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.promises) - set(LONG):
        parser.error(f"there is no promise {', '.join(sorted(unknown))} here; there are {', '.join(LONG)}")
    chosen = LONG if asked.long else SHORT
    figures: list[Figure] = []
    for name in asked.promises or chosen:
        found = measured(name, chosen[name])
        figures += found
        if not asked.as_json:
            sys.stdout.write(table(found) + "\n\n")
            sys.stdout.flush()
    if asked.as_json:
        rows = [{**asdict(one), "kept": one.kept()} for one in figures]
        sys.stdout.write(json.dumps({"long": asked.long, "load": os.getloadavg()[0], "figures": rows}, indent=1) + "\n")
    elif crowded() > 1:
        sys.stdout.write(f"The machine was busy with other things: load {os.getloadavg()[0]:.1f}.\n")
    return 0 if all(one.kept() for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
