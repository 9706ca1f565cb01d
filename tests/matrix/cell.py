"""One client in front of one upstream, and how a feature is observed there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.matrix.asked import Asked, Failed, Got
from tests.matrix.clients import Client
from tests.matrix.outcome import ABSENT, Findings, NotHere, Outcome, refused
from tests.matrix.upstreams import BEHIND, NATIVE, PLAIN, THINKERS, ChatUpstream, Kind, Upstream
from tests.support.server import Server
from tests.support.standins.scenes import Scene, Spent


@dataclass(frozen=True, slots=True)
class Cell:
    """``hub``: ``None`` where the client speaks with the stand-in directly, to prove the stand-in and the test.
    ``stranger``: the same kind of client with another key, for which the hub has kept nothing."""

    client: Client
    upstream: Upstream
    hub: Server | None
    stranger: Client | None = None

    @property
    def native(self) -> bool:
        return self.hub is None or self.client.speaks in NATIVE[self.upstream.kind]

    def asked(self, scene: str, model: str = "", **more: Any) -> Asked:
        """``model``: the hub's name of it."""
        name = model or PLAIN[self.upstream.kind]
        return Asked(name if self.hub else BEHIND[name], f"scenario: {scene}", **more)

    @property
    def thinkers(self) -> tuple[str, ...]:
        """Models whose thinking can be seen; none where the upstream never shows any."""
        if type(self.upstream) is ChatUpstream and self.upstream.kind is Kind.RESPONSES:
            return ()
        return THINKERS[self.upstream.kind]

    def scene(self, name: str) -> Scene:
        return self.upstream.scene(name)

    def ask(self, asked: Asked, scene: str, findings: Findings) -> Got:
        """The answer, of which the usage, the model's name and the hub's books are proven already."""
        before = self.rows()
        got = self.client.ask(asked)
        spent = self.scene(scene).spent
        if self.hub is not None:
            self._prove_books(before, asked.model, spent)
            assert got.model == asked.model, "the public name, and no other, is shown"
        findings.fact("usage", got.spent, self.client.sayable(spent))
        return got

    def rows(self) -> int:
        """Usage rows so far."""
        return 0 if self.hub is None else int(str(self.hub.rows("SELECT count(*) AS rows FROM usage")[0]["rows"]))

    def _prove_books(self, before: int, model: str, spent: Spent) -> None:
        row = self.row_after(before)
        assert (row["model"], row["outcome"], row["measured"], row["status"]) == (model, "completed", 1, 200)
        booked = Spent(
            *(row[f"{name}_tokens"] for name in ("input", "output", "cached", "cache_write", "reasoning"))  # type: ignore[arg-type]
        )
        assert booked == spent, "the hub's books say what the upstream said"

    def row_after(self, before: int) -> dict[str, object]:
        """The one row that was written since."""
        assert self.hub is not None
        self.hub.wait_until(lambda: self.rows() > before, within_s=5)
        assert self.rows() == before + 1, "one call, one row"
        return self.hub.rows("SELECT * FROM usage ORDER BY rowid DESC LIMIT 1")[0]


Check: TypeAlias = Callable[[Cell, Findings], None]
"""Tests a feature. Raises ``NotHere`` where there is nothing to test."""


def observe(check: Check, cell: Cell) -> Outcome:
    """A refusal counts if it is the hub's own, before anything was sent, and names the field."""
    findings = Findings()
    standin = cell.upstream.standin
    sent, already = len(standin.requests), len(standin.refused)
    try:
        check(cell, findings)
    except NotHere:
        return ABSENT
    except Failed as failed:
        if failed.status != 400 or len(standin.requests) > sent:
            raise
        assert cell.hub is not None
        return refused(failed.param or failed.message.split()[0].strip("'`\""))
    assert len(standin.refused) == already, f"the upstream refused what it was sent: {standin.refused[already:]}"
    return findings.outcome
