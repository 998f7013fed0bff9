"""All figures, one table after the other, with the machine they were made on: `make bench`."""

from __future__ import annotations

import os
import platform

import uvloop
from rich.console import Console

from bench import accounts, appends, buying, catalogue, http, rebuild, relevance
from bench.table import Row, show


async def main() -> int:
    Console().print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; fsync is on"
    )
    missed: list[Row] = []
    for measure in (
        appends.rows,
        http.rows,
        buying.rows,
        accounts.rows,
        rebuild.rows,
        relevance.rows,
        catalogue.rows,
    ):
        for title, rows in (await measure()).items():
            show(title, rows)
            missed += [row for row in rows if not row.reached]
    return len(missed)


if __name__ == "__main__":
    raise SystemExit(min(uvloop.run(main()), 1))
