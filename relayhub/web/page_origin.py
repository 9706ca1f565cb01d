"""Which page an event stream is opened by. The browser says it, and a page cannot make it lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def opened_by(origin: str, headers: Mapping[str, str], own_hosts: Collection[str]) -> bool:
    """Whether a page of this origin sent the request. ``own_hosts``: names of this server, with port where they have one.

    A page of another origin is named in ``Origin``. A page of the server's own origin sends none with a GET: then
    ``Referer`` tells, and a browser that was told to send no ``Referer`` still says ``Sec-Fetch-Site: same-origin``.
    A request that says none of it is nobody's."""
    if "origin" in headers:
        return headers["origin"] == origin
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin"):
        return False
    if "referer" in headers:
        return _origin_of(headers["referer"]) == origin
    return site is not None and origin.partition("://")[2] in own_hosts


def _origin_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}"
