"""What must become of each feature in each cell: everything is exact but for what stands here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tests.matrix.clients import Speaks
from tests.matrix.outcome import ABSENT, EXACT, Outcome, lossy, refused
from tests.matrix.upstreams import NATIVE, Kind

CHAT, RESPONSES, MESSAGES, GENERATE = Speaks
OPENAI = (Kind.COMPATIBLE, Kind.RESPONSES)


@dataclass(frozen=True, slots=True)
class Deviation:
    """``clients`` and ``upstreams``: where it holds."""

    outcome: Outcome
    clients: Collection[Speaks] = tuple(Speaks)
    upstreams: Collection[Kind] = tuple(Kind)


NUMBER = "the error event's number"
FORGOTTEN = "earlier thinking"
ESTIMATED, EARLY = "usage is estimated", "usage as of the answer's beginning"

ACROSS_DIALECTS = tuple(Deviation(ABSENT, natives, (kind,)) for kind, natives in NATIVE.items())
"""Of a feature that is the hub's, and has no say in the byte lane."""

DEVIATIONS: Mapping[str, tuple[Deviation, ...]] = {
    "failed tool": (
        Deviation(ABSENT, (CHAT, RESPONSES)),
        Deviation(lossy("the mark, for the words “Error: ”"), (MESSAGES, GENERATE), OPENAI),
    ),
    "one tool call at a time": (
        Deviation(ABSENT, (GENERATE,)),
        Deviation(lossy("dropped"), upstreams=(Kind.GEMINI,)),
    ),
    "image, by link": (Deviation(ABSENT, (GENERATE,)),),
    "PDF file": (Deviation(lossy("the file's name"), (CHAT, RESPONSES, MESSAGES), (Kind.GEMINI,)),),
    "thinking shown": (Deviation(ABSENT, (CHAT,), (Kind.RESPONSES,)),),
    "thinking through a tool turn": (Deviation(ABSENT, (CHAT,), (Kind.RESPONSES,)),),
    "thinking through a tool turn, nothing kept by the hub": (
        *ACROSS_DIALECTS,
        Deviation(lossy(FORGOTTEN), (RESPONSES, MESSAGES), (Kind.GEMINI,)),
    ),
    "thinking through a tool turn, vendor fields left out": ACROSS_DIALECTS,
    "thinking through a tool turn, neither": (
        *ACROSS_DIALECTS,
        Deviation(lossy("the upstream refuses the turn"), upstreams=(Kind.COMPATIBLE,)),
        Deviation(lossy("thinking is off in the next turn"), upstreams=(Kind.CLAUDE,)),
        Deviation(lossy(FORGOTTEN)),
    ),
    "end: stop sequence": (
        Deviation(ABSENT, (RESPONSES,)),
        Deviation(refused("stop_sequences"), (MESSAGES,), (Kind.RESPONSES,)),
        Deviation(refused("stopSequences"), (GENERATE,), (Kind.RESPONSES,)),
        Deviation(lossy("which stop sequence"), (MESSAGES,), (Kind.COMPATIBLE, Kind.GEMINI)),
    ),
    "sampling": (Deviation(ABSENT, (MESSAGES,)),),
    "seed": (
        Deviation(ABSENT, (RESPONSES, MESSAGES)),
        Deviation(lossy("dropped"), (CHAT, GENERATE), (Kind.CLAUDE,)),
        Deviation(lossy("dropped"), (GENERATE,), (Kind.RESPONSES,)),
    ),
    "error within a stream": (Deviation(lossy(NUMBER), (RESPONSES,)),),
    "answer that breaks off": (
        Deviation(lossy(NUMBER, ESTIMATED), (RESPONSES,), OPENAI),
        Deviation(lossy(NUMBER, EARLY), (RESPONSES,), (Kind.CLAUDE,)),
        Deviation(lossy(NUMBER), (RESPONSES,)),
        Deviation(lossy(ESTIMATED), upstreams=OPENAI),
        Deviation(lossy(EARLY), upstreams=(Kind.CLAUDE,)),
    ),
    "count tokens": (
        Deviation(ABSENT, (CHAT,)),
        Deviation(lossy("estimated"), upstreams=(Kind.COMPATIBLE,)),
        Deviation(lossy("estimated"), (MESSAGES, GENERATE), (Kind.RESPONSES,)),
    ),
    "embeddings": (
        Deviation(ABSENT, (RESPONSES, MESSAGES)),
        Deviation(ABSENT, upstreams=(Kind.RESPONSES, Kind.CLAUDE)),
    ),
}
"""By feature; the first that fits counts."""


def expected(feature: str, speaks: Speaks, kind: Kind) -> Outcome:
    for one in DEVIATIONS.get(feature, ()):
        if speaks in one.clients and kind in one.upstreams:
            return one.outcome
    return EXACT
