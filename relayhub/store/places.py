"""Where each sealed value belongs: it is bound to its place, so that it opens nowhere else."""

from __future__ import annotations


def kept_turn(account_id: str, ref: str) -> str:
    return f"kept_turn:{account_id}:{ref}"


def ticket_request(ticket_id: str) -> str:
    return f"stream_ticket:{ticket_id}"


def ticket_events(ticket_id: str, first: int) -> str:
    return f"stream_events:{ticket_id}:{first}"


def named_call(key_id: str, name: str, call_id: str) -> str:
    return f"named_call:{key_id}:{name}:{call_id}"


def job_request(job_id: str) -> str:
    return f"job:{job_id}"


def webhook_address(job_id: str) -> str:
    return f"webhook:{job_id}"
