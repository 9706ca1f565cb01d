"""Logging: one event a line; pretty on a terminal, JSON otherwise. Never prompts, bodies, secrets or query strings."""

from __future__ import annotations

import io
import logging
import sys
from typing import TextIO, cast

import structlog

from relayhub.cli.log_target import UnfailingTarget


def configure_logging(
    level: str, style: str, file: TextIO | io.TextIOBase | None = None, worker: int | None = None
) -> None:
    """``level``: debug … error. ``style``: pretty, json, or auto (pretty on a terminal). Everything goes to stderr, or to
    ``file`` in its place. ``worker``: the number of this process among several, for each of its lines."""
    number = logging.getLevelNamesMapping()[level.upper()]
    target = cast(TextIO, UnfailingTarget(file or sys.stderr))
    pretty = style == "pretty" or (style == "auto" and target.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        *([] if worker is None else [_of_worker(worker)]),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    tail = [renderer] if pretty else [structlog.processors.format_exc_info, renderer]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=target),
        cache_logger_on_first_use=False,  # `serve` configures again, after the first lines were logged
    )
    _bring_in_stdlib(number, shared, renderer, pretty, target)


def _of_worker(number: int) -> structlog.types.Processor:
    def add(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        return {"worker": number, **event}

    return add


def _bring_in_stdlib(
    level: int,
    shared: list[structlog.types.Processor],
    renderer: structlog.types.Processor,
    pretty: bool,
    target: TextIO,
) -> None:
    """Libraries log through the standard module; the same lines come out."""
    processors: list[structlog.types.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not pretty:
        processors.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*processors, renderer])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
