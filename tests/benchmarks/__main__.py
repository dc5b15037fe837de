"""`python -m tests.benchmarks [name ...]`: each figure beside a bare version, in one table.

Names: hops mapping edge gateway overload idle latency throughput split audit; all
when none is given.
Always exits 0 unless a benchmark breaks: no test asserts on these, as a busy machine is no defect.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from tests.benchmarks.audit import audit
from tests.benchmarks.edge import edge
from tests.benchmarks.figures import Figure, say, table
from tests.benchmarks.flows import latency, throughput
from tests.benchmarks.gateway import gateway
from tests.benchmarks.hops import hops
from tests.benchmarks.idle import idle
from tests.benchmarks.mapping import mapping
from tests.benchmarks.overload import overload
from tests.benchmarks.split import split

ALL: dict[str, Callable[[], list[Figure]]] = {
    "hops": hops,
    "mapping": mapping,
    "edge": edge,
    "gateway": gateway,
    "overload": overload,
    "idle": idle,
    "latency": latency,
    "throughput": throughput,
    "split": split,
    "audit": audit,
}


def main() -> None:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("names", nargs="*", metavar="name", help=" ".join(ALL))
    names = parser.parse_args().names or list(ALL)
    if unknown := sorted(set(names) - ALL.keys()):
        parser.error(f"there is no {', '.join(unknown)}: choose from {' '.join(ALL)}")
    figures: list[Figure] = []
    say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    for name in names:
        say(f"{name} ...")
        figures += ALL[name]()
    say(f"\n{table(figures)}")
    missed = [each.name for each in figures if each.met == "BELOW TARGET"]
    told = ", ".join(missed) or "nothing"
    say(f"\nbelow target: {told} (load {os.getloadavg()[0]:.1f} at the end)")


if __name__ == "__main__":
    main()
