"""``docs/compatibility.md`` from what the tests expect of every cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.matrix.clients import SDKS
from tests.matrix.clients.base import Speaks
from tests.matrix.expected import expected
from tests.matrix.features import FEATURES
from tests.matrix.upstreams import Kind

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"

HEAD = """\
# Compatibility

What a client that keeps its SDK gets from each kind of upstream. `scripts/compatibility` writes this page; do not edit it.
Every cell is a test in `tests/matrix`: the official SDK, unmodified, asks a running relayhub, behind which a strict
stand-in of the vendor's service answers and refuses what the vendor would refuse. For every chat answer the hub's usage row
is held against the tokens that the upstream reported, and so is the usage that the SDK shows.

The upstreams:

| name | provider |
|---|---|
| OpenAI-compatible | `type: openai`; other dialects are translated to chat completions |
| OpenAI with Responses | `type: openai` with `translate_to: responses`; other dialects are translated to Responses |
| Anthropic | `type: claude`; other dialects are translated to Messages |
| Gemini | `type: gemini`; other dialects are translated to generateContent |

The cells:

- **exact**: nothing is lost, in the request or in the answer. Where the upstream speaks the client's dialect, the hub
  relays it untouched.
- **lossy**: it works, but for what is named. *dropped* is a setting that the upstream does not have; the hub says which in
  the header `x-relayhub-dropped`. *estimated* is a number that the upstream does not tell and the hub reckons.
- **refused**: 400, before anything is sent, with the field that cannot be said to this upstream.
- **–**: the client's dialect or the upstream has no such thing, or it does not arise.
"""

NOTES = """\
## Notes

- *Thinking through a tool turn*: the upstream gets its signed (or encrypted) thinking back unchanged with the results of the
  tools. Clients that return the vendor fields they were given need nothing else; only Gemini's signatures stand on the
  calls, where Messages and Responses have no field for them. The hub keeps the thinking, encrypted, for 24 hours, for
  the account's clients that leave those fields out or have none. Where neither has it, Claude goes on with thinking
  turned off, which `x-relayhub-dropped` says; Gemini and Responses go on without what was thought before; and an
  OpenAI-compatible upstream that insists on it refuses the turn.
- *Failed tool*: chat completions and Responses have no mark for it, so the result begins with `Error: ` there.
- *Errors before the answer*: 400, 404, 429, 500, 503 and 529 of the upstream, a connection that it closes without an
  answer, and its 401, 402 and 403, which are the operator's business and reach the client as 502. Status, exception class,
  error type and the headers for trying again are those of the client's dialect.
- *Answer that breaks off*: the upstream closes the connection in the middle. The client gets its dialect's error event and
  no normal end. What it cost is what the upstream had said by then: Anthropic counts the input and one token of output when
  it begins, Gemini counts with every piece, and where nothing was said the hub estimates.
- *The error event's number*: a stream of Responses that fails ends with `response.failed`, whose `sequence_number` is 0.
- *Count tokens* goes to the upstream where it can count; otherwise it is an estimate.
"""


def rendered() -> str:
    return "\n".join([HEAD, *(_section(speaks) for speaks in Speaks), NOTES])


def _section(speaks: Speaks) -> str:
    return "\n".join([f"## {speaks}", "", f"Clients: {', '.join(SDKS[speaks])}.", "", *_table(speaks), ""])


def _table(speaks: Speaks) -> Iterator[str]:
    yield _row("feature", *Kind)
    yield "|---|" + "---|" * len(Kind)
    for feature in FEATURES:
        yield _row(feature, *(str(expected(feature, speaks, kind)) for kind in Kind))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    DOCUMENT.write_text(rendered(), encoding="utf-8")
