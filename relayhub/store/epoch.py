"""One process's claim to the holds that it opens."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.store.process import ProcessIdentity


@dataclass(frozen=True, slots=True)
class Epoch:
    """``lease_s``: how long the claim stands for those who cannot see whether the process lives."""

    id: str
    process: ProcessIdentity
    lease_s: float

    def row(self, now: float) -> tuple[str, str, str, int, str, float]:
        process = self.process
        return self.id, process.host, process.boot_id, process.pid, process.started, now + self.lease_s

    def finds_dead(self, row: tuple[str, str, str, int, str, float], now: float) -> bool:
        """Judge another epoch's row. Where the process can be looked at, that decides, whatever the wall clock says;
        elsewhere its lease does."""
        epoch_id, host, boot_id, pid, started, lease_until = row
        if epoch_id == self.id:
            return False
        dead = self.process.sees_dead(ProcessIdentity(host, boot_id, pid, started))
        return lease_until < now if dead is None else dead
