"""The rows of the table: each feature with the test that proves it in any cell."""

from __future__ import annotations

from collections.abc import Mapping

from tests.matrix import endpoints, errors, media, settings, text, thinking, tools
from tests.matrix.cell import Check

FEATURES: Mapping[str, Check] = {
    "text and system prompt": text.whole,
    "streamed text": text.streamed,
    "tool call": tools.called,
    "two parallel tool calls, streamed": tools.parallel,
    "tool call without arguments": tools.without_arguments,
    "tool results": tools.answered,
    "failed tool": tools.failed,
    "tool choice: one named tool": tools.named,
    "tool choice: must call": tools.required,
    "one tool call at a time": tools.serial,
    "image, inline": media.inline_image,
    "image, by link": media.linked_image,
    "PDF file": media.file,
    "JSON schema": settings.schema,
    "thinking shown": thinking.shown,
    "thinking through a tool turn": thinking.signed,
    "thinking through a tool turn, nothing kept by the hub": thinking.stateless,
    "thinking through a tool turn, vendor fields left out": thinking.bare,
    "thinking through a tool turn, neither": thinking.lost,
    "end: length": text.length,
    "end: stop sequence": settings.stop_sequence,
    "end: content filter": text.filtered,
    "usage: cached and written tokens": text.cached,
    "sampling": settings.sampling,
    "seed": settings.seed,
    "errors before the answer": errors.classes,
    "error within a stream": errors.within_stream,
    "answer that breaks off": errors.cut,
    "count tokens": endpoints.count,
    "embeddings": endpoints.embeddings,
    "list of models": endpoints.models,
}
