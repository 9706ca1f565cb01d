"""What a worker is told as it begins, on its command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import msgspec

from relayhub.types.share import Share


@dataclass(frozen=True, slots=True)
class Post:
    """``number``: from 1, and the same for whoever takes a dead worker's place. The others are file descriptors that it
    inherits: ``channel`` to the supervisor, ``board`` (:class:`relayhub.running.board.Board`), ``log`` (locked while a
    line is written), ``config`` (:mod:`relayhub.running.kept_config`; none in demo mode), and ``door``, a listening unix
    socket where the hub has one."""

    number: int
    of: int
    channel: int
    board: int
    log: int
    config: int | None = None
    door: int | None = None

    @property
    def share(self) -> Share:
        return Share(self.number, self.of)

    @property
    def descriptors(self) -> tuple[int, ...]:
        inherited = (self.channel, self.board, self.log, self.config, self.door)
        return tuple(number for number in inherited if number is not None)

    def text(self) -> str:
        return msgspec.json.encode(asdict(self)).decode()

    @classmethod
    def of_text(cls, text: str) -> Post:
        """From :meth:`text`. Raises ``ValueError``."""
        return msgspec.json.decode(text, type=cls)
