"""A worker process that writes audit rows and seals while it leads; it says what it sealed."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from apis.runtime import audit
from apis.runtime.audit_heads import Signer
from apis.runtime.leases import Leases, lead
from apis.runtime.store import Store

TIER = "process"
DIGEST_KEY = b"behind the marks of both workers"
LEASE_S = 2.0


async def work(url: str, home: Path, name: str, rows: int) -> None:
    """Write the rows one by one beside the sealer, then seal until told to end."""
    store = Store(url, digest_key=DIGEST_KEY)
    signer = Signer(home / "audit.key", home / "audit")
    leases = Leases(store, name, ttl=LEASE_S)
    await leases.hold(leases.worker)

    async def seal() -> None:
        sealed = await store.write(audit.seal, TIER)
        await store.read(audit.sign, TIER, signer, datetime.now(UTC))
        if sealed:
            sys.stdout.write(f"sealed {sealed}\n")
            sys.stdout.flush()

    sealing = asyncio.create_task(lead(leases, f"sealer/{TIER}", 0.01, seal))
    for n in range(rows):
        key, at = f"{name}-{n}", datetime.now(UTC)
        await store.write(audit.record, TIER, at=at, actor=name, action="thing.made", key=key)
    await asyncio.to_thread(sys.stdin.readline)
    sealing.cancel()
    leases.stop()
    store.close()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
