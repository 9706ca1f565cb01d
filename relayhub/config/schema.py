"""What may stand in the config. Defaults live here and nowhere else."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Literal, TypeAlias

import platformdirs
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from relayhub.config.values import (
    Alias,
    BasePath,
    BodyDefaults,
    ConfigPath,
    Count,
    Currency,
    Duration,
    ExistingFile,
    ExistingFolder,
    ForeignCurrency,
    Headers,
    HttpUrl,
    ModelName,
    Moment,
    Nano,
    Network,
    Origin,
    PriceTier,
    ProxyUrl,
    Rate,
    Seconds,
    Size,
    UnitsPerUsd,
    ZoneName,
    refuse,
    zone_of,
)
from relayhub.types.chat import ImageForm
from relayhub.types.http import Deadlines
from relayhub.types.json import JsonObject
from relayhub.types.money import nano_to_usd
from relayhub.types.on_disconnect import OnDisconnect

_DEADLINES = Deadlines()

ModelOperation = Literal[
    "chat",
    "embeddings",
    "completions",
    "moderations",
    "rerank",
    "transcription",
    "translation",
    "video",
    "image",
    "speech",
]
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
    control: ConfigPath | None = Field(
        None, description="Socket file for `relayhub reload`; default: beside the database, its name with .control."
    )
    tls: TlsConfig | None = Field(None, description="Serve HTTPS with these files.")
    workers: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        1, description="Processes that serve; auto: one for each CPU that may be used."
    )
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
    max_in_flight: Count | None = Field(
        None, description="Requests under way at a time; more get a 503. Default: what memory and descriptors allow."
    )
    max_clients: Count | None = Field(
        None, description="Client connections at a time, idle ones too. Default: what memory and descriptors allow."
    )

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
        description="power: what was answered survives a loss of power; process: survives kill -9, faster on slow disks.",
    )


class QuotaConfig(Section):
    units_per_usd: UnitsPerUsd = Field(500_000, description="Units of quota in one US dollar; must divide 10^9.")
    default_max_output_tokens: Count = Field(
        4096, description="Assumed for the hold where neither client nor model limits the output."
    )
    bytes_per_token: Count = Field(3, description="Assumed for the hold: bytes of request per input token.")
    timezone: ZoneName = Field("UTC", description="Whose days and months keys' daily and monthly limits count.")
    revoked_streams: Literal["finish", "cut"] = Field(
        "finish", description="What becomes of a key's open answers when it is revoked or disabled."
    )
    on_disconnect: OnDisconnect = Field(
        OnDisconnect.ABORT_AND_ESTIMATE,
        description="A client that leaves: abort_and_estimate, drain (the upstream's own count is charged), or void (free if"
        " nothing came).",
    )
    drain_s: Seconds = Field(30, description="With drain: how long an upstream is read for a client that has left.")
    drains: Annotated[int, Field(ge=0, le=10_000)] = Field(
        16, description="With drain: how many calls at a time; any further one is aborted and estimated."
    )

    @property
    def zone(self) -> tzinfo:
        return zone_of(self.timezone)


class MediaConfig(Section):
    """For upstreams that take no links: the hub then fetches what a client's request links to."""

    max_size: Size = Field(20 << 20, description="Largest file that is fetched, in bytes or as 20MiB.")
    timeout_s: Seconds = Field(15, description="How long fetching one file may take.")
    private_hosts: tuple[str, ...] = Field(
        (), description="Host names that may have private addresses, such as an own file server."
    )


class ArtifactsConfig(Section):
    """What jobs have made."""

    dir: ConfigPath | None = Field(
        None, description="The folder that results are copied to; default: artifacts, beside the database."
    )
    ttl: Duration = Field(7 * 86400, description="How long results are kept: 7d, 12h, or seconds.")
    max_size: Size = Field(2 << 30, description="Largest result that is copied, in bytes or as 2GiB.")


class JobsConfig(Section):
    """Asynchronous work: videos, and images that take their time."""

    default_video_model: str | None = Field(
        None, description="For video requests that name neither a model nor a provider."
    )
    parallel: Count = Field(256, description="Jobs that are looked after at the same time.")
    parallel_per_provider: Count = Field(128, description="Of these, at one provider.")
    lookup_after_s: Seconds = Field(
        60, description="How long after a submit without an answer its upstream is asked what became of it."
    )
    image_wait_s: Seconds = Field(
        600, description="How long a request waits for its images; the job goes on after that."
    )


class AccountsConfig(Section):
    """People who sign in."""

    registration: Literal["closed", "invite", "open"] = Field(
        "closed", description="Who may register: nobody, whoever has an invite, or anybody."
    )
    session_ttl: Duration = Field(7 * 86400, description="When a sign-in ends: 7d, 12h, or seconds.")
    session_idle: Duration = Field(86400, description="It ends before that when it is not used for so long.")


class UsageConfig(Section):
    """What was used."""

    keep_raw: Duration = Field(
        90 * 86400,
        description="How long single calls are kept: 90d, 12h, or seconds; what they add up to by day and month stays.",
    )


class RetriesConfig(Section):
    """Per provider: attempts ≤ (1 + share) × calls + per_s × seconds."""

    share: Annotated[float, Field(ge=0, le=1)] = Field(0.2, description="Further attempts, as a share of the calls.")
    per_s: Annotated[float, Field(ge=0, le=1000)] = Field(3, description="Further attempts per second beside that.")


class CircuitConfig(Section):
    """When a route rests."""

    failures: Count = Field(5, description="Failures in a row after which a route is left alone.")
    rest_s: Seconds = Field(5, description="How long, the first time; twice as long each further time.")
    longest_rest_s: Seconds = Field(300, description="The longest, also where its upstream asks for more.")


class RoutingConfig(Section):
    """Which way a call goes where a model has several."""

    strategy: Literal["weight", "least_busy", "latency"] = Field(
        "weight", description="Within a tier: by weight, or in the order of the config where none is said."
    )
    failovers: Annotated[int, Field(ge=0, le=10)] = Field(
        1, description="Further routes of one call after an upstream was sent its request and refused it."
    )
    retry_delivered_chat: bool = Field(
        False, description="Try chat elsewhere even if the first upstream may have done, and will bill, the work."
    )
    hedge_after_s: Seconds | None = Field(
        None, description="Ask a second route too if chat has no answer by then; both are paid for. Off by default."
    )
    probe_s: Seconds | None = Field(
        None, description="Ask resting upstreams this often for their models, so that no call has to find out. Off."
    )
    retries: RetriesConfig = Field(RetriesConfig(), description="How many further attempts there may be in all.")
    circuit: CircuitConfig = Field(CircuitConfig(), description="When a route rests.")


class LoggingConfig(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
    format: Literal["auto", "pretty", "json"] = Field("auto", description="auto: pretty on a terminal, else JSON.")


class PluginsConfig(Section):
    dirs: tuple[ConfigPath, ...] = Field((), description="Folders whose .py files and packages are loaded as plugins.")
    modules: tuple[str, ...] = Field((), description="Importable modules to load as plugins.")
    disabled: tuple[str, ...] = Field((), description="Plugins not to load; a built-in may be replaced after this.")
    allow: tuple[str, ...] | None = Field(None, description="If set, no other plugin is even imported.")


class PriceConfig(Section):
    """Amounts as quoted strings in the file; nano-USD (10⁻⁹ of ``currency``) per million tokens, or per call, once read."""

    from_: Moment | None = Field(
        None, alias="from", description="In force from this date on: 2026-07-01 (UTC), or a time; default: ever since."
    )
    currency: Currency = Field("USD", description="What the amounts are in; another one needs a rate in `currencies`.")
    input: Nano = Field(0, description="USD per million input tokens.")
    output: Nano = Field(0, description="USD per million output tokens.")
    cached_input: Nano | None = Field(None, description="USD per million cached input tokens; default: as input.")
    cache_write: Nano | None = Field(
        None, description="USD per million tokens written to the cache; default: as input."
    )
    reasoning: Nano | None = Field(None, description="USD per million reasoning tokens; default: as output.")
    call: Nano = Field(0, description="USD per call.")
    video: dict[PriceTier, Nano] = Field(
        {}, description="USD per second of video, by resolution: 720p, 1080p+audio, *+video; * is any."
    )
    image: dict[PriceTier, Nano] = Field(
        {}, description="USD per image, by size or resolution: 1024x1024, 1024x1024+high, 2k; * is any."
    )
    characters: Nano = Field(0, description="USD per million characters of speech.")
    audio_second: Nano = Field(0, description="USD per second of speech.")

    def in_usd(self) -> JsonObject:
        """What is charged, as the file says it."""
        amounts = self._amounts()
        said = {name: value for name, value in amounts.items() if value or name not in _ZERO_BY_DEFAULT}
        shown: JsonObject = {
            name: {tier: nano_to_usd(nano) for tier, nano in value.items()}
            if isinstance(value, dict)
            else nano_to_usd(value)
            for name, value in said.items()
            if value is not None
        }
        return {**self._terms(), **shown}

    def _terms(self) -> JsonObject:
        terms: JsonObject = {} if self.since is None else {"from": self.since}
        return terms if self.currency == "USD" else {**terms, "currency": self.currency}

    def _amounts(self) -> dict[str, int | dict[str, int] | None]:
        return self.model_dump(exclude={"from_", "currency"})

    @property
    def since(self) -> str | None:
        """The date, or the time, from which it is in force."""
        if self.from_ is None:
            return None
        text = datetime.fromtimestamp(self.from_, UTC).isoformat()
        return text.removesuffix("T00:00:00+00:00")

    @property
    def charges(self) -> bool:
        """Anything costs more than nothing."""
        values = self._amounts().values()
        return any(any(value.values()) if isinstance(value, dict) else value for value in values)


_ZERO_BY_DEFAULT = frozenset({"input", "output", "call", "video", "image", "characters", "audio_second"})


def _one_or_dated(value: object) -> str:
    return "dated" if isinstance(value, list | tuple) else "one"


Prices: TypeAlias = Annotated[
    Annotated[PriceConfig, Tag("one")] | Annotated[tuple[PriceConfig, ...], Field(min_length=1), Tag("dated")],
    Discriminator(_one_or_dated),
]
"""One price, or several with dates; of those the one in force when a call is admitted counts."""


def dated(prices: Prices | None) -> tuple[PriceConfig, ...]:
    """In the order in which they come into force."""
    listed = (prices,) if isinstance(prices, PriceConfig) else prices or ()
    return tuple(sorted(listed, key=lambda price: float("-inf") if price.from_ is None else price.from_))


def _check_dates(what: str, prices: Prices | None) -> None:
    twice = [since for since, count in Counter(price.from_ for price in dated(prices)).items() if count > 1]
    if twice:
        hint = "Each has a `from:` of its own; one of them may have none, it is in force until the next."
        raise refuse(f"two entries of its `{what}:` begin at the same time", hint)


class ModelDefaults(Section):
    """What the models of a provider have in common."""

    price: Prices | None = Field(
        None, description="What it costs here, as quoted strings; a list of prices with `from:` dates if it changes."
    )
    cost: Prices | None = Field(
        None, description="What the upstream charges, said as `price` is; only kept beside each call, for comparing."
    )
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
    priority: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Its tier, where several providers have the model: 1 is tried before 2."
    )
    weight: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None, description="How often it comes first among its tier; 0: only when the others fail."
    )
    on_disconnect: OnDisconnect | None = Field(
        None, description="What becomes of a call whose client leaves; default: as quota.on_disconnect."
    )


class ModelConfig(ModelDefaults):
    """One model."""

    upstream: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="The upstream's name for it; default: the public name. * stands for a wildcard's rest."
    )
    aliases: tuple[Alias, ...] = Field((), description="Other names for it.")
    fallbacks: tuple[Alias, ...] = Field(
        (), description="Models that answer in its place when none of its providers can, in this order."
    )

    @model_validator(mode="after")
    def _priced(self) -> ModelConfig:
        prices = dated(self.price)
        _check_dates("price", self.price)
        _check_dates("cost", self.cost)
        charges = bool(prices) and all(price.charges for price in prices)
        if self.free and any(price.charges for price in prices):
            raise refuse("it has a price and is `free: true`", "Leave one of the two away.")
        if not self.free and not charges:
            hint = (
                'Give it one, such as price: {input: "0.15", output: "0.60"} in USD per million tokens, or video:'
                ' {"*": "0.10"} per second, or say free: true.'
            )
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


class CredentialEntry(Section):
    """One of several credentials; all other fields in it are the plugin's own, such as api_key."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")] | None = Field(
        None, description="For logs and jobs; default: made from its secret. Keep it when the secret is renewed."
    )
    weight: Annotated[int, Field(ge=0, le=1000)] = Field(1, description="How often its turn comes; 0: the reserve.")


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
    max_in_flight: Count | None = Field(
        None, description="Calls under way at a time; more go elsewhere or get a 503 at once. Default: no limit."
    )
    credentials: Annotated[tuple[CredentialEntry, ...], Field(max_length=100)] = Field(
        (), description="Several accounts or keys that take turns, each with the plugin's own fields, such as api_key."
    )
    default_video_model: str | None = Field(
        None, description="For video requests to this provider that name no model; default: its first video model."
    )


class ConfigFile(Section):
    """The whole file."""

    server: ServerConfig = Field(ServerConfig(), description="Where and how to listen.")
    store: StoreConfig = Field(default_factory=StoreConfig, description="Where keys, ledger and usage are kept.")
    quota: QuotaConfig = Field(QuotaConfig(), description="Units and estimates.")
    media: MediaConfig = Field(MediaConfig(), description="Fetching media that requests link to.")
    artifacts: ArtifactsConfig = Field(ArtifactsConfig(), description="Results of jobs.")
    jobs: JobsConfig = Field(JobsConfig(), description="Asynchronous work.")
    accounts: AccountsConfig = Field(AccountsConfig(), description="Sign-in and registration.")
    usage: UsageConfig = Field(UsageConfig(), description="How long usage is kept.")
    routing: RoutingConfig = Field(RoutingConfig(), description="Which way a call goes.")
    currencies: dict[ForeignCurrency, Rate] = Field(
        {}, description="Fixed rates for prices in other currencies: what one unit is worth in USD, in quotes."
    )
    logging: LoggingConfig = Field(LoggingConfig(), description="What is logged, and how.")
    plugins: PluginsConfig = Field(PluginsConfig(), description="Plugins beside the installed ones.")
    providers: dict[str, ProviderEntry] = Field({}, description="The upstreams.")


CORE_PROVIDER_FIELDS = frozenset(ProviderEntry.model_fields)
"""Keys of a provider entry that are the same for every plugin."""

CREDENTIAL_FIELDS = frozenset(CredentialEntry.model_fields)
"""Keys of a credential that are the same for every plugin."""

RESERVED_PROVIDER_NAMES = frozenset(
    {"v1", "v1beta", "v1alpha", "api", "admin", "console", "livez", "readyz", "metrics", "docs", "openapi.json"}
    | {"static", "assets", "files", "favicon.ico"}
)
"""First path words that relayhub uses itself: a provider's name may become one."""
