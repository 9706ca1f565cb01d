"""A process that changes the vault's keys and stands still where the test kills it: ``DATABASE WHERE``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relayhub.store import rotation
from relayhub.store.audit import Actor

ME = Actor("cli:child")


def main() -> None:
    database, where = Path(sys.argv[1]), sys.argv[2]

    def stand_still(*_: object, **__: object) -> None:
        sys.stdout.write("still\n")
        sys.stdout.flush()
        sys.stdin.read()

    def before(work: Callable[..., Any], number: int) -> Callable[..., Any]:
        calls = iter(range(number))

        def stopped(*args: Any) -> Any:
            if next(calls, None) is None:
                stand_still()
            return work(*args)

        return stopped

    match where:
        case "before the key file":
            Path.replace = before(Path.replace, 0)  # type: ignore[method-assign]
        case "after the key file":
            rotation.write_changes = stand_still
        case "in the middle":
            rotation.replace_value = before(rotation.replace_value, 3)
        case _:
            rotation._needing = stand_still  # type: ignore[assignment]
    key = rotation.add_key(database, 1.0, ME)
    rotation.reseal(database)
    rotation.retire(database, key.made_at + rotation.SETTLE_S + 1, ME)


if __name__ == "__main__":
    main()
