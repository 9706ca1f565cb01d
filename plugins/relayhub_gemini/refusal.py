"""Saying which parameter cannot be honoured, and why."""

from __future__ import annotations

from typing import NoReturn

from relayhub.sdk import invalid_request


def refuse(param: str, why: str) -> NoReturn:
    raise invalid_request(f"{param}: {why}", param=param)
