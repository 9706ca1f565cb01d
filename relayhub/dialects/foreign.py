"""What another dialect's request carries that a target dialect has no word for: refused where it would change what is
asked, named where it would not. Nothing is left out in silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from relayhub.types.chat import ChatRequest, Message, OpaquePart, Part, ToolResultPart
from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.json import Json

_IN_PART = "text"
"""An object of Responses that the hub understands in part: only the rest of it stands in the extras."""


class Dropped:
    """Names of fields that were left out, each once, in the order of their first mention."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def note(self, *names: str) -> None:
        self._names.update(dict.fromkeys(names))

    def note_if(self, name: str, value: object) -> None:
        """Note ``name`` if the client did say something there."""
        if value not in (None, False, (), [], {}):
            self.note(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names)


def note_extras(request: ChatRequest, dropped: Dropped, ignore: Iterable[str] = ()) -> None:
    """Note every field that only ``request.dialect`` knows, under its own name without its place; for encoders of other
    dialects. ``ignore``: names that the encoder has made use of; what a dialect keeps under its own name is no field of
    the client's. Raises ``ClientError`` for essential ones."""
    for name in request.essential:
        if name not in ignore:
            raise not_expressible(name)
    known = {request.dialect, *ignore}
    for name, value in _extras(request):
        if name in known:
            continue
        if name == _IN_PART and isinstance(value, dict):
            for key, inner in value.items():
                dropped.note_if(f"{name}.{key}", inner)
        else:
            dropped.note_if(name, value)


def _extras(request: ChatRequest) -> Iterator[tuple[str, Json]]:
    yield from request.extras.items()
    for tool in request.tools:
        yield from tool.extras.items()
    if request.output_format is not None:
        yield from request.output_format.extras.items()
    for message in request.messages:
        yield from _of_message(message)


def _of_message(message: Message) -> Iterator[tuple[str, Json]]:
    yield from message.extras.items()
    for part in message.parts:
        yield from _of_part(part)


def _of_part(part: Part) -> Iterator[tuple[str, Json]]:
    if isinstance(part, OpaquePart):
        return
    yield from part.extras.items()
    if isinstance(part, ToolResultPart):
        for inner in part.parts:
            yield from _of_part(inner)


def not_expressible(path: str, what: str | None = None) -> ClientError:
    """A field or part whose loss would change the request. ``what``: its kind, where the path does not say it."""
    said = f"{path} ({what})" if what else path
    return invalid_request(
        f"{said} cannot be expressed to this model's upstream; leave it out, or choose a model whose provider speaks"
        " this API itself.",
        code="not_expressible",
        param=path,
    )
