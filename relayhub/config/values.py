"""The kinds of value that a config has: how each is read, and what is said when it cannot be."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from relayhub.types.money import nano_per_unit, usd_to_nano

_SIZE = re.compile(r"(\d+)\s*(|k|m|g|ki|mi|gi)b?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_MODEL_NAME = re.compile(r"[^\s\x00-\x1f\x7f*]+\*?|\*")
_DURATION = re.compile(r"(\d+)\s*(|s|m|h|d)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_CURRENCY = re.compile(r"[A-Z]{3}")
_PRICE_TIER = re.compile(r"(\*|[a-z0-9:.x-]+)(\+[a-z0-9_-]+)*")
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_CONNECTION_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "expect"}
    | {"proxy-connection", "accept-encoding", "content-encoding", "content-type"}
)
_CREDENTIAL_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "x-goog-api-key", "cookie"})
_HUB_FIELDS = frozenset({"model", "stream", "stream_options"})


def refuse(message: str, hint: str | None = None) -> PydanticCustomError:
    """An error whose words reach the person as they are. ``message`` must not repeat a value that may be secret."""
    return PydanticCustomError("relayhub", "{message}", {"message": message, "hint": hint})


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise refuse("this is not a size", "Write a number of bytes, or a number with a unit: 32MiB, 500KB.")
    return int(match[1]) * _FACTORS[match[2].lower()]


def _usd(value: object) -> int:
    if isinstance(value, float):
        raise refuse("a price must be in quotes, so that it stays exact", f'Write "{value}".')
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise refuse("a price is an amount of USD in quotes", 'For example "0.15".')
    try:
        return usd_to_nano(str(value))
    except ValueError as error:
        raise refuse(f"this is no price: {error}", 'Write an amount of USD, for example "0.15".') from None


def _path(value: Path, info: ValidationInfo) -> Path:
    """Relative to the folder of the config file, which comes as ``context["folder"]``."""
    if not str(value).strip() or value == Path():
        raise refuse("a path is needed, this is empty")
    folder = info.context["folder"] if info.context else Path()
    try:
        return Path(folder) / value.expanduser()
    except RuntimeError:
        raise refuse("~ cannot be resolved: there is no home folder", "Write the whole path.") from None


def _file(value: Path) -> Path:
    if not value.is_file():
        raise refuse(f"there is no file {value}", "A path in the config is relative to the config file.")
    return value


def _folder(value: Path) -> Path:
    if not value.is_dir():
        raise refuse(f"there is no folder {value}", "A path in the config is relative to the config file.")
    return value


def _http_url(value: str) -> str:
    """Without a slash at its end."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(char.isspace() for char in value):
        raise refuse("this is not an http or https URL", "For example https://hub.example.com")
    if parts.query or parts.fragment:
        raise refuse("no query or fragment may be in this URL")
    return value.rstrip("/")


def _proxy_url(value: str) -> str:
    if value.startswith("socks"):
        raise refuse(
            "SOCKS proxies are not supported", "Use the proxy's HTTP port, or put an HTTP proxy in front of it."
        )
    return _http_url(value)


def _base_path(value: str) -> str:
    if value and not _BASE_PATH.fullmatch(value):
        hint = "It begins with a slash and ends without one, for example /ai; nothing for the root."
        raise refuse("this is not a base path", hint)
    return value


def _network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not isinstance(value, str):
        raise refuse("a network is needed, in quotes", 'For example "10.0.0.0/8".')
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise refuse(f"this is not a network: {error}", "For example 10.0.0.0/8 or 192.168.1.7.") from None


def _origin(value: str) -> str:
    parts = urlsplit(value)
    whole = parts.scheme in ("http", "https") and parts.netloc and f"{parts.scheme}://{parts.netloc}" == value
    if value != "*" and not whole:
        raise refuse("this is not an origin", "For example https://app.example.com (without a path), or * for any.")
    return value


def _units(value: int) -> int:
    try:
        nano_per_unit(value)
    except ValueError:
        raise refuse(
            "units_per_usd must divide 1000000000", "So that no unit is ever rounded: 500000, 1000000."
        ) from None
    return value


def _zone(name: str) -> str:
    try:
        zone_of(name)
    except (KeyError, ValueError, OSError):
        hint = "Write a name such as Europe/Berlin or Asia/Shanghai; the machine must have the time zone data (tzdata)."
        raise refuse("this is not a time zone that this machine knows", hint) from None
    return name


def zone_of(name: str) -> tzinfo:
    """By its IANA name. UTC needs no time zone data."""
    return UTC if name == "UTC" else ZoneInfo(name)


def _model_name(value: str) -> str:
    if not _MODEL_NAME.fullmatch(value):
        hint = "No blanks; a * only at its end, where it stands for any rest."
        raise refuse("this is not a model name", hint)
    return value


def _alias(value: str) -> str:
    if value.endswith("*"):
        raise refuse("an alias cannot be a wildcard", "Make it a model of its own.")
    return _model_name(value)


def _header_name(name: str) -> str:
    lower = name.lower()
    if not _HEADER_NAME.fullmatch(lower):
        raise refuse("this cannot be the name of a header")
    if lower in _CONNECTION_HEADERS:
        raise refuse("this header cannot be set: relayhub sets it for each request")
    if lower in _CREDENTIAL_HEADERS:
        hint = "Use the plugin's own setting, such as api_key."
        raise refuse("this header cannot be set: the plugin puts the credentials into each request", hint)
    return name


def _header_value(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise refuse("a header's value cannot have a line end or another control character in it")
    return text


def _lower_names(value: dict[str, str]) -> dict[str, str]:
    headers = {name.lower(): text for name, text in value.items()}
    if len(headers) < len(value):
        raise refuse("a header stands here twice: upper and lower case are the same")
    return headers


def _body_field(name: str) -> str:
    if name in _HUB_FIELDS:
        raise refuse("this field cannot have a default: relayhub sets it for each request")
    return name


def _price_tier(value: str) -> str:
    if not _PRICE_TIER.fullmatch(value.lower()):
        hint = "A resolution, size or *, then facts: 720p, 1080p+audio, *+video, 1024x1024+high."
        raise refuse("this is not the name of a price", hint)
    return value.lower()


def _currency(value: str) -> str:
    if not _CURRENCY.fullmatch(value):
        raise refuse("this is not the code of a currency", "Three capital letters, such as CNY or EUR.")
    return value


def _foreign_currency(value: str) -> str:
    if value == "USD":
        raise refuse("USD needs no rate: it is what all rates are in", "Leave it away.")
    return _currency(value)


def _rate(value: object) -> int:
    nano = _usd(value)
    if nano == 0:
        raise refuse("a rate is above zero", 'Write what one unit is worth in USD, for example "0.14".')
    return nano


def _moment(value: object) -> float:
    """Days begin at midnight UTC."""
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        hint = "Write 2026-07-01 (midnight UTC) or 2026-07-01T08:00:00+08:00."
        raise refuse("this is not a date", hint) from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip().lower())
    if match is None:
        raise refuse("this is not a length of time", "Write seconds, or a number with a unit: 7d, 12h, 30m.")
    return int(match[1]) * _SECONDS[match[2]]


Count: TypeAlias = Annotated[int, Field(gt=0)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
Duration: TypeAlias = Annotated[
    int,
    BeforeValidator(_duration),
    Field(gt=0, le=3650 * 86400),
    WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
"""Seconds."""
Size: TypeAlias = Annotated[
    int,
    BeforeValidator(_size),
    Field(gt=0),
    WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
Nano: TypeAlias = Annotated[int, BeforeValidator(_usd, json_schema_input_type=int | str)]
"""Nano-USD, from an amount of USD."""
Currency: TypeAlias = Annotated[str, AfterValidator(_currency)]
ForeignCurrency: TypeAlias = Annotated[str, AfterValidator(_foreign_currency)]
Rate: TypeAlias = Annotated[int, BeforeValidator(_rate, json_schema_input_type=int | str)]
"""Nano-USD in one unit of a currency."""
Moment: TypeAlias = Annotated[float, BeforeValidator(_moment), WithJsonSchema({"type": "string"})]
"""Unix seconds, from a date or a time."""
PriceTier: TypeAlias = Annotated[str, Field(max_length=60), AfterValidator(_price_tier)]
ZoneName: TypeAlias = Annotated[str, AfterValidator(_zone)]
UnitsPerUsd: TypeAlias = Annotated[int, Field(gt=0), AfterValidator(_units)]
ConfigPath: TypeAlias = Annotated[Path, AfterValidator(_path)]
ExistingFile: TypeAlias = Annotated[Path, AfterValidator(_path), AfterValidator(_file)]
ExistingFolder: TypeAlias = Annotated[Path, AfterValidator(_path), AfterValidator(_folder)]
HttpUrl: TypeAlias = Annotated[str, AfterValidator(_http_url)]
ProxyUrl: TypeAlias = Annotated[str, AfterValidator(_proxy_url)]
BasePath: TypeAlias = Annotated[str, AfterValidator(_base_path)]
Network: TypeAlias = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    PlainValidator(_network, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]
Origin: TypeAlias = Annotated[str, AfterValidator(_origin)]
ModelName: TypeAlias = Annotated[str, Field(max_length=200), AfterValidator(_model_name)]
Alias: TypeAlias = Annotated[str, Field(max_length=200), AfterValidator(_alias)]
HeaderName: TypeAlias = Annotated[str, AfterValidator(_header_name)]
HeaderValue: TypeAlias = Annotated[str, AfterValidator(_header_value)]
Headers: TypeAlias = Annotated[dict[HeaderName, HeaderValue], AfterValidator(_lower_names)]
BodyDefaults: TypeAlias = dict[Annotated[str, AfterValidator(_body_field)], JsonValue]
