"""A process that backs a database up and stands still where the test kills it: ``DATABASE TARGET WHERE``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from relayhub.store.backup import back_up


def main() -> None:
    database, target, where = sys.argv[1:]

    def stand_still() -> None:
        sys.stdout.write(f"{where}\n")
        sys.stdout.flush()
        sys.stdin.read()

    def on_progress(done: int, _pages: int) -> None:
        if where == "copying" and done:
            stand_still()

    def before_naming(_copy: Path) -> None:
        if where == "naming":
            stand_still()

    asyncio.run(
        back_up(
            Path(database), Path(target), replace=True, now=1.0, on_progress=on_progress, before_naming=before_naming
        )
    )


if __name__ == "__main__":
    main()
