"""Everything the product imports at a start, imported: processes forked from here spare it."""

from __future__ import annotations

import gc
import importlib
import pkgutil

PACKAGES = ("apis", "contracts", "system_apis", "process_apis", "experience_apis")
LATE = ("psycopg", "uvloop", "httpcore", "uvicorn.protocols.http.httptools_impl")
"""What libraries import when it is first used."""
RUN = "__main__"

for package in PACKAGES:
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, f"{package}."):
        if not module.name.endswith(RUN):
            importlib.import_module(module.name)
for name in LATE:
    importlib.import_module(name)
gc.freeze()  # what all have in common is neither looked over nor copied by any
