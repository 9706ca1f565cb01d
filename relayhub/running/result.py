"""What became of a reload: for the person who asked, for the log, and over the control socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relayhub.config import Change
from relayhub.types.json import JsonObject


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """``ok``: the new config serves from now on; the old one serves on otherwise, and ``problems`` is what ``relayhub
    validate`` would print. ``changes``: what is different now, and what was asked for but needs a restart. ``partly``:
    workers that had taken it over before another one did not."""

    ok: bool
    changes: tuple[Change, ...] = ()
    problems: str = ""
    partly: tuple[int, ...] = ()

    @property
    def needs_restart(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.restart)

    def text(self) -> str:
        """For people, without a newline at its end."""
        if not self.ok:
            return f"{self.problems}\n\n{self._left()}".lstrip()
        lines = [str(change) for change in self.changes]
        return "\n".join([*lines, self.summary()])

    def _left(self) -> str:
        """How a reload that failed has left things."""
        if not self.partly:
            return "Nothing was changed: the config from before serves on."
        told = ", ".join(map(str, self.partly))
        return (
            f"The config from before serves on, but not in these workers, which have the new one: {told}. Reload again."
        )

    def summary(self) -> str:
        """One line."""
        if not self.ok:
            return "refused: the config from before serves on" if not self.partly else self._left()
        later = len(self.needs_restart)
        now = len(self.changes) - later
        if not self.changes:
            return "Reloaded: nothing has changed."
        told = f"Reloaded: {_counted(now)} in force."
        return f"{told} {_counted(later)} waiting for a restart." if later else told

    def as_dict(self) -> JsonObject:
        """See :func:`of_dict`."""
        return {
            "ok": self.ok,
            "changes": [change.as_dict() for change in self.changes],
            "problems": self.problems,
            "partly": list(self.partly),
        }


def of_dict(said: JsonObject) -> ReloadResult:
    """From :meth:`ReloadResult.as_dict`. Raises ``ValueError`` for anything else."""
    ok, changes, problems = said.get("ok"), said.get("changes", []), said.get("problems", "")
    if not isinstance(ok, bool) or not isinstance(changes, Sequence) or not isinstance(problems, str):
        raise ValueError("this is not the result of a reload")
    partly = said.get("partly", [])
    return ReloadResult(
        ok,
        tuple(Change.of_dict(change) for change in changes if isinstance(change, dict)),
        problems,
        tuple(one for one in partly if isinstance(one, int)) if isinstance(partly, Sequence) else (),
    )


def _counted(number: int) -> str:
    return "1 change" if number == 1 else f"{number} changes"
