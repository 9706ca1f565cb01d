"""What aiohttp says of requests that it cannot read: its errors repeat them, with their credentials."""

from __future__ import annotations

import logging

import structlog
from aiohttp.http_exceptions import HttpProcessingError

log = structlog.get_logger("relayhub.web")


def unreadable_requests() -> logging.Logger:
    """The logger of aiohttp's server. Anybody can send what cannot be read, so that is no error of ours."""
    logger = logging.getLogger("aiohttp.server")
    if not any(isinstance(known, _Unreadable) for known in logger.filters):
        logger.addFilter(_Unreadable())
    return logger


class _Unreadable(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        client = record.args[0] if isinstance(record.args, tuple) and record.args else None
        log.info("request.unreadable", client=client, problem=type(error).__name__)
        return False
