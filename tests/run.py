"""`python -m tests.run`: the suite in both forms, then clients not written here.

Prints last what could not run here; in CI (CI=true) that is a failure.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.servers import CannotStartError, run, servers

FIDELITY = (".fidelity/bin/python", "-m", "pytest", "-c", "tests/fidelity/pytest.ini")
ENVIRONMENT = ("make", "--no-print-directory", ".fidelity/.ready")
SUITE = (sys.executable, "-m", "pytest", "--ignore=tests/architecture")
LANES = ("-n", "2", "--dist", "loadfile")
"""Two at once, each with a deployment of its own: tests wait more than they work."""
ONE_HOUSE = ("-n", "2", "--dist", "loadgroup")
"""Two at once but for those that share a deployment: a dozen processes are enough for two cores."""


def embedded(report: Path) -> int:
    """SQLite in a temporary folder, memory in place of Redis."""
    return suite(report, {"THROUGHLINE_TEST_FORM": "embedded"}, LANES)


def production(report: Path) -> int:
    """PostgreSQL and Redis, which each lane starts; what both forms share has run in the first."""
    with servers():
        pass  # what is missing here is said, or installed, once
    lanes = () if os.environ.get("THROUGHLINE_TEST_REDIS") else ONE_HOUSE
    return suite(report, {"THROUGHLINE_TEST_FORM": "production"}, lanes)


def fidelity(report: Path) -> int:
    """Clients not written here, in an environment of their own, against the sandboxes."""
    if preparing().wait():
        raise CannotStartError("the environment .fidelity could not be made")
    return run([*FIDELITY, "tests/fidelity", f"--junitxml={report}"], {})


@cache
def preparing() -> subprocess.Popen[bytes]:
    """What makes that environment, while others run: it mostly waits for a registry."""
    return subprocess.Popen(ENVIRONMENT)


def suite(report: Path, environment: dict[str, str], more: Sequence[str] = ()) -> int:
    """The whole suite but for the architecture tests, which `make check` ran."""
    return run([*SUITE, *more, f"--junitxml={report}"], environment)


PARTS: dict[str, Callable[[Path], int]] = {
    "embedded": embedded,
    "production": production,
    "fidelity": fidelity,
}


def skipped(report: Path) -> Iterator[str]:
    """The tests of one pytest report that did not run, with their reasons."""
    if not report.exists():
        return
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        for skip in case.iter("skipped"):
            if skip.get("type") == "pytest.skip":
                yield f"{case.get('classname')}.{case.get('name')}: {skip.get('message')}"


def main() -> int:
    """Run every part, whatever the others do, and sum up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: sys.exit(128 + got))
    for name in ("THROUGHLINE_DATABASE_URL", "THROUGHLINE_REDIS_URL"):
        os.environ.pop(name, None)  # a person's own instance is not for tests
    summary, missing, failed = [], [], False
    preparing()
    with tempfile.TemporaryDirectory(prefix="throughline-") as folder:
        for name, part in PARTS.items():
            sys.stdout.write(f"\n== {name}: {part.__doc__}\n")
            sys.stdout.flush()
            report, start = Path(folder) / f"{name}.xml", time.monotonic()
            try:
                code = part(report)
                outcome = "failed" if code else "passed"
                failed |= bool(code)
            except CannotStartError as error:
                outcome = "not run"
                missing.append(f"{name}: {error}")
            missing += [f"{name}: {test}" for test in skipped(report)]
            summary.append(f"{name:<12}{outcome:<10}{time.monotonic() - start:.0f} s")
    sys.stdout.write("\n" + "\n".join(summary) + "\n")
    sys.stdout.write("\n".join(["Could not run:", *(missing or ["nothing"])]) + "\n")
    return int(failed or bool(missing and os.environ.get("CI") == "true"))


if __name__ == "__main__":
    sys.exit(main())
