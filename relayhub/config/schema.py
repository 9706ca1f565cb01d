"""What may stand in the config. Defaults live here and nowhere else."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, model_validator

from relayhub.config.values import (
    Alias,
    BasePath,
    BodyDefaults,
    ConfigPath,
    Count,
    ExistingFile,
    ExistingFolder,
    Headers,
    HttpUrl,
    ModelName,
    Nano,
    Network,
    Origin,
    ProxyUrl,
    Seconds,
    Size,
    UnitsPerUsd,
    refuse,
)
from relayhub.types.chat import ImageForm
from relayhub.types.http import Deadlines
from relayhub.types.money import NANO_PER_USD

_DEADLINES = Deadlines()

ModelOperation = Literal["chat", "embeddings", "completions", "moderations", "rerank", "transcription", "translation"]
"""What can be said of a model: every operation but counting, which whoever chats serves too."""


class Section(BaseModel):
    """Unknown keys are errors. Have no ``mode="before"`` validators here: pydantic takes what they return for Python
    objects, and strict mode then refuses a list for a tuple."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsConfig(Section):
    cert_file: ExistingFile = Field(description="Certificate chain in PEM.")
    key_file: ExistingFile = Field(description="Its private key in PEM.")


class ServerConfig(Section):
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="Port to listen on; 0 picks a free one.")
    unix_socket: ConfigPath | None = Field(None, description="Listen on this socket file instead of host and port.")
    tls: TlsConfig | None = Field(None, description="Serve HTTPS with these files.")
    trusted_proxies: tuple[Network, ...] = Field(
        (), description="Networks whose X-Forwarded-* headers are believed, for example 10.0.0.0/8."
    )
    base_path: BasePath = Field("", description="Prefix of every path, if a reverse proxy serves the hub below one.")
    public_url: HttpUrl | None = Field(None, description="How clients reach the hub from outside.")
    cors_origins: tuple[Origin, ...] = Field(
        ("*",), description="Browser origins that may call the API (it uses no cookies); never the admin side."
    )
    public_models: bool = Field(True, description="GET /v1/models without a key lists the public models.")
    body_limit: Size = Field(32 << 20, description="Largest request body, in bytes or as 32MiB.")
    body_timeout_s: Seconds = Field(60, description="How long a request body may take to arrive.")
    upload_limit: Size = Field(
        100 << 20, description="Largest form with files, in bytes or as 100MiB; it is kept on disk, not in memory."
    )
    upload_timeout_s: Seconds = Field(300, description="How long such a form may take to arrive.")
    upload_dir: ExistingFolder | None = Field(
        None, description="Where it is kept while its call runs; default: the system's folder for temporary files."
    )
    head_wait_s: Seconds = Field(15, description="How long a stream's status waits for the upstream's first event.")
    keep_alive_s: Seconds = Field(15, description="A comment is sent after this much silence in a stream.")
    drain_s: Seconds = Field(60, description="How long open answers may go on after SIGTERM.")

    @model_validator(mode="after")
    def _one_listener(self) -> ServerConfig:
        if self.unix_socket is not None and self.tls is not None:
            raise refuse("tls has no effect on a unix socket", "Leave one of unix_socket and tls away.")
        return self


class StoreConfig(Section):
    path: ConfigPath = Field(
        default_factory=lambda: platformdirs.user_data_path("relayhub") / "relayhub.db",
        description="The SQLite file with keys, ledger and usage; default: relayhub.db in the user's data folder.",
    )
    durability: Literal["power", "process"] = Field(
        "power",
        description="power: every commit survives a loss of power; process: survives kill -9, faster on slow disks.",
    )


class QuotaConfig(Section):
    units_per_usd: UnitsPerUsd = Field(500_000, description="Units of quota in one US dollar; must divide 10^9.")
    default_max_output_tokens: Count = Field(
        4096, description="Assumed for the hold where neither client nor model limits the output."
    )
    bytes_per_token: Count = Field(3, description="Assumed for the hold: bytes of request per input token.")


class MediaConfig(Section):
    """For upstreams that take no links: the hub then fetches what a client's request links to."""

    max_size: Size = Field(20 << 20, description="Largest file that is fetched, in bytes or as 20MiB.")
    timeout_s: Seconds = Field(15, description="How long fetching one file may take.")
    private_hosts: tuple[str, ...] = Field(
        (), description="Host names that may have private addresses, such as an own file server."
    )


class LoggingConfig(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
    format: Literal["auto", "pretty", "json"] = Field("auto", description="auto: pretty on a terminal, else JSON.")


class PluginsConfig(Section):
    dirs: tuple[ConfigPath, ...] = Field((), description="Folders whose .py files and packages are loaded as plugins.")
    modules: tuple[str, ...] = Field((), description="Importable modules to load as plugins.")
    disabled: tuple[str, ...] = Field((), description="Plugins not to load; a built-in may be replaced after this.")
    allow: tuple[str, ...] | None = Field(None, description="If set, no other plugin is even imported.")


class PriceConfig(Section):
    """USD as quoted strings in the file; nano-USD per million tokens, or per call, once read."""

    input: Nano = Field(0, description="USD per million input tokens.")
    output: Nano = Field(0, description="USD per million output tokens.")
    cached_input: Nano | None = Field(None, description="USD per million cached input tokens; default: as input.")
    cache_write: Nano | None = Field(
        None, description="USD per million tokens written to the cache; default: as input."
    )
    reasoning: Nano | None = Field(None, description="USD per million reasoning tokens; default: as output.")
    call: Nano = Field(0, description="USD per call.")

    def in_usd(self) -> dict[str, str]:
        """What is charged, as the file says it."""
        amounts = {name: _usd(nano) for name, nano in self.model_dump().items() if nano is not None}
        return {name: amount for name, amount in amounts.items() if amount != "0" or name not in _ZERO_BY_DEFAULT}

    @property
    def charges(self) -> bool:
        """Anything costs more than nothing."""
        return any(self.model_dump().values())


_ZERO_BY_DEFAULT = frozenset({"input", "output", "call"})


def _usd(nano: int) -> str:
    text = f"{Decimal(nano) / NANO_PER_USD:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class ModelDefaults(Section):
    """What the models of a provider have in common."""

    price: PriceConfig | None = Field(None, description="What it costs here, in USD, as quoted strings.")
    free: bool = Field(False, description="Really costs nothing; said instead of a price.")
    public: bool = Field(True, description="Listed for clients without a key.")
    operations: tuple[ModelOperation, ...] = Field(("chat",), min_length=1, description="What it serves.")
    max_output_tokens: Count | None = Field(
        None, description="Its own limit, assumed for the hold where the client sets none."
    )
    image_form: ImageForm = Field(
        ImageForm.INLINE,
        description="Images in answers to Gemini clients: inline (inlineData), text (bare base64 in a text part) or both.",
    )


class ModelConfig(ModelDefaults):
    """One model."""

    upstream: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="The upstream's name for it; default: the public name. * stands for a wildcard's rest."
    )
    aliases: tuple[Alias, ...] = Field((), description="Other names for it.")

    @model_validator(mode="after")
    def _priced(self) -> ModelConfig:
        charges = self.price is not None and self.price.charges
        if self.free and charges:
            raise refuse("it has a price and is `free: true`", "Leave one of the two away.")
        if not self.free and not charges:
            hint = 'Give it one, price: {input: "0.15", output: "0.60"} in USD per million tokens, or say free: true.'
            raise refuse("this model has no price", hint)
        return self


class TimeoutsConfig(Section):
    connect_s: Seconds = Field(
        _DEADLINES.connect_s, description="Until a connection is made, waiting for a free one included."
    )
    first_byte_s: Seconds = Field(_DEADLINES.first_byte_s, description="From the request until the answer's head.")
    idle_s: Seconds = Field(_DEADLINES.idle_s, description="Between two pieces of the answer.")
    total_s: Seconds = Field(_DEADLINES.total_s, description="The whole answer.")

    @property
    def deadlines(self) -> Deadlines:
        return Deadlines(self.connect_s, self.first_byte_s, self.idle_s, self.total_s)


class ProviderEntry(Section):
    """The fields of every provider; all others in its entry belong to its plugin."""

    type: str = Field(description="The plugin's provider type; default: the entry's own name.")
    enabled: bool = Field(True, description="false: as if the entry were not there.")
    models: dict[ModelName, ModelConfig] = Field(
        {}, description="Public name → settings, or a list of names; a name ending in * is a prefix."
    )
    models_file: ConfigPath | None = Field(
        None, description="More models, as `relayhub models discover --write` makes it; `models` has the last word."
    )
    model_defaults: ModelDefaults = Field(ModelDefaults(), description="For models that do not say it themselves.")
    headers: Headers = Field({}, description="Extra headers for the upstream.")
    body_defaults: BodyDefaults = Field({}, description="Set in a request where the client did not.")
    proxy: ProxyUrl | None = Field(None, description="HTTP proxy for this upstream.")
    ca_file: ExistingFile | None = Field(None, description="Trust this authority too.")
    timeouts: TimeoutsConfig = Field(TimeoutsConfig(), description="Limits on every wait for the upstream.")
    max_connections: Annotated[int, Field(gt=0, le=65535)] = Field(256, description="Connections at a time.")


class ConfigFile(Section):
    """The whole file."""

    server: ServerConfig = Field(ServerConfig(), description="Where and how to listen.")
    store: StoreConfig = Field(default_factory=StoreConfig, description="Where keys, ledger and usage are kept.")
    quota: QuotaConfig = Field(QuotaConfig(), description="Units and estimates.")
    media: MediaConfig = Field(MediaConfig(), description="Fetching media that requests link to.")
    logging: LoggingConfig = Field(LoggingConfig(), description="What is logged, and how.")
    plugins: PluginsConfig = Field(PluginsConfig(), description="Plugins beside the installed ones.")
    providers: dict[str, ProviderEntry] = Field({}, description="The upstreams.")


CORE_PROVIDER_FIELDS = frozenset(ProviderEntry.model_fields)
"""Keys of a provider entry that are the same for every plugin."""

RESERVED_PROVIDER_NAMES = frozenset(
    {"v1", "v1beta", "v1alpha", "api", "admin", "console", "livez", "readyz", "metrics", "docs", "openapi.json"}
    | {"static", "assets", "favicon.ico"}
)
"""First path words that relayhub uses itself: a provider's name may become one."""
