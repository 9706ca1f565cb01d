"""What usage costs: integers of nano-USD, rounded up once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from relayhub.accounts.tiers import Tiers, described, lacking, nano_of
from relayhub.types.discount import WHOLE_PPM, ppm_to_percent
from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.media import MediaUsage
from relayhub.types.money import MAX_NANO, NANO_PER_USD, nano_to_usd
from relayhub.types.usage import Usage

TOKENS = 1_000_000
"""Prices are per this many tokens."""

USD = "USD"


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-USD (10⁻⁹ of ``currency``) per million tokens, and per call. ``None``: cached and cache-written tokens cost what
    input costs, reasoning tokens what output costs. ``video``: per second of the clip; ``image``: per image;
    ``characters``: per million of them; ``audio_second``: of speech."""

    input: int = 0
    output: int = 0
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    call: int = 0
    video: Tiers = ()
    image: Tiers = ()
    characters: int = 0
    audio_second: int = 0
    currency: str = USD
    rate_nano: int = NANO_PER_USD
    """Nano-USD in one unit of ``currency``."""
    discount_ppm: int = 0
    """Taken off the sum, before it is rounded."""
    version: str = ""
    """Which of the model's prices this is, for usage rows."""
    upstream: Price | None = None
    """What the upstream charges, if the config says it; never with a discount."""
    _text: str = field(init=False, repr=False, compare=False, default="")
    _plain: bool = field(init=False, repr=False, compare=False, default=True)
    """Neither rate nor discount, as most: asked where it is used, for :meth:`_nano` would be a call more."""
    _whole: tuple[int, int] | None = field(init=False, repr=False, compare=False, default=None)
    """Of one token of input, and of output, where that is whole nano-USD and the price plain, as nearly always."""
    _dearest: tuple[int, int, int] = field(init=False, repr=False, compare=False, default=(0, 0, 0))
    """Of a million tokens of input, of output, and of a million calls."""
    _dearest_whole: tuple[int, int, int] | None = field(init=False, repr=False, compare=False, default=None)
    """Of one of each, as ``_whole``."""

    def cost_nano(self, usage: Usage) -> int:
        """The exact sum, rounded up to a whole nano-USD once."""
        given, made = usage.input_tokens, usage.output_tokens
        if not (usage.cached_tokens or usage.cache_write_tokens or usage.reasoning_tokens) and given >= 0 <= made:
            if self._whole is not None:
                of_input, of_output = self._whole
                return given * of_input + made * of_output + self.call
            return self._nano(given * self.input + made * self.output + self.call * TOKENS)
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        thought = self.output if self.reasoning is None else self.reasoning
        fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
        visible = max(0, usage.output_tokens - usage.reasoning_tokens)
        return self._nano(
            fresh * self.input
            + usage.cached_tokens * cached
            + usage.cache_write_tokens * written
            + visible * self.output
            + max(0, min(usage.reasoning_tokens, usage.output_tokens)) * thought
            + self.call * TOKENS
        )

    def media_nano(self, usage: MediaUsage) -> int:
        """What images, speech or video cost, rounded up once. Raises ``ClientError`` naming what has no price here."""
        per_million = (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.characters * self.characters
            + usage.audio_ms * self.audio_second * (TOKENS // 1000)
            + self.call * usage.calls * TOKENS
        )
        if self.video and usage.video_ms:
            per_million += usage.video_ms * _tier_nano(self.video, usage) * (TOKENS // 1000)
        if self.image and usage.images:
            per_million += usage.images * _tier_nano(self.image, usage) * TOKENS
        return self._nano(per_million)

    def estimate(
        self, body_bytes: int, bytes_per_token: int, output_cap: int | None, choices: int = 1
    ) -> tuple[int, int]:
        """The most that a call can cost, and its tokens: input by the size of the request, output by its limit for each
        choice; ``output_cap`` ``None``: no output is generated (embeddings). What is cached, or thought, is not known before
        the answer. Rounded up, and never more than the ledger can hold."""
        input_tokens, output_tokens = -(-body_bytes // bytes_per_token), (output_cap or 0) * choices
        if self._dearest_whole is not None:
            of_input, of_output, of_call = self._dearest_whole
            nano = input_tokens * of_input + output_tokens * of_output + of_call
        else:
            dearest_input, dearest_output, calls = self._dearest
            nano = self._nano(input_tokens * dearest_input + output_tokens * dearest_output + calls)
        return (nano if nano < MAX_NANO else MAX_NANO), input_tokens + output_tokens

    def upstream_nano(self, usage: Usage | None) -> int | None:
        """What the upstream charges for it; ``None``: the config does not say. Without usage it is nothing."""
        if self.upstream is None or usage is None:
            return None if self.upstream is None else 0
        return self.upstream.cost_nano(usage)

    def upstream_media_nano(self, usage: MediaUsage | None) -> int | None:
        """The same for media; ``None`` also where the upstream's price has no such tier."""
        if self.upstream is None or usage is None:
            return None if self.upstream is None else 0
        try:
            return self.upstream.media_nano(usage)
        except ClientError:
            return None

    def discounted(self, ppm: int) -> Price:
        return replace(self, discount_ppm=ppm) if ppm else self

    def _nano(self, per_million: int) -> int:
        """Rounded once: rate and discount are still exact here."""
        if self._plain:
            return -(-per_million // TOKENS)
        exact = per_million * self.rate_nano * (WHOLE_PPM - self.discount_ppm)
        return -(-exact // (TOKENS * NANO_PER_USD * WHOLE_PPM))

    def __post_init__(self) -> None:
        object.__setattr__(self, "_text", self._formula())
        object.__setattr__(self, "_plain", self.rate_nano == NANO_PER_USD and not self.discount_ppm)
        if self._plain and self.input % TOKENS == 0 == self.output % TOKENS:
            object.__setattr__(self, "_whole", (self.input // TOKENS, self.output // TOKENS))
        dearest_input = max(self.input, self.cached_input or 0, self.cache_write or 0)
        dearest_output = max(self.output, self.reasoning or 0)
        object.__setattr__(self, "_dearest", (dearest_input, dearest_output, self.call * TOKENS))
        if self._plain and dearest_input % TOKENS == 0 == dearest_output % TOKENS:
            of_one = (dearest_input // TOKENS, dearest_output // TOKENS, self.call)
            object.__setattr__(self, "_dearest_whole", of_one)

    def describe(self) -> str:
        """The formula as text, for usage rows and lists: ``input 0.15 + output 0.6 USD/1M tokens``."""
        return self._text

    def _formula(self) -> str:
        tokens = {
            "input": self.input,
            "cached": self.cached_input,
            "cache write": self.cache_write,
            "output": self.output,
            "reasoning": self.reasoning,
        }
        money = self.currency
        said = [f"{name} {nano_to_usd(nano)}" for name, nano in tokens.items() if nano]
        parts = [f"{' + '.join(said)} {money}/1M tokens"] if said else []
        parts += [
            f"{_tiers(tiers)} {money}/{unit}"
            for tiers, unit in ((self.video, "s video"), (self.image, "image"))
            if tiers
        ]
        for nano, unit in ((self.characters, "1M characters"), (self.audio_second, "s audio"), (self.call, "call")):
            if nano:
                parts.append(f"{nano_to_usd(nano)} {money}/{unit}")
        return " + ".join(parts) + self._terms() if parts else "free"

    def _terms(self) -> str:
        rate = f", 1 {self.currency} = {nano_to_usd(self.rate_nano)} USD" if self.currency != USD else ""
        return rate + (f", less {ppm_to_percent(self.discount_ppm)}%" if self.discount_ppm else "")


def _tiers(tiers: Tiers) -> str:
    return described(tiers, {tier.name: nano_to_usd(tier.nano) for tier in tiers})


def _tier_nano(tiers: Tiers, usage: MediaUsage) -> int:
    nano = nano_of(tiers, usage)
    if nano is None:
        raise _unpriced(usage)
    return nano


def _unpriced(usage: MediaUsage) -> ClientError:
    return invalid_request(
        f"This server has no price for {lacking(usage)} of this model, so it is not offered; ask for another resolution"
        " or size, or have the operator add a price.",
        code="not_priced",
        param="size" if usage.images else "resolution",
    )
