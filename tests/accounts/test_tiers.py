"""Prices of media: the tier that says most counts, and the sum is rounded up once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.accounts.pricing import Price
from relayhub.accounts.tiers import tiers_of
from relayhub.types.errors import ClientError
from relayhub.types.media import MediaUsage

VIDEO = tiers_of({"720p": 10, "1080p": 20, "1080p+audio": 30, "*+video": 40, "*": 50})


@pytest.mark.parametrize(
    ("usage", "per_second"),
    [
        (MediaUsage(resolution="720p"), 10),
        (MediaUsage(resolution="720P"), 10),
        (MediaUsage(resolution="1080p"), 20),
        (MediaUsage(resolution="1080p", audio=True), 30),
        (MediaUsage(resolution="1080p", audio=False), 20),
        (MediaUsage(resolution="1080p", audio=True, input_kind="image"), 30),
        (MediaUsage(resolution="720p", input_kind="video"), 10),
        (MediaUsage(resolution="4k"), 50),
        (MediaUsage(resolution="4k", input_kind="video"), 40),
        (MediaUsage(), 50),
    ],
)
def test_the_tier_that_says_most_counts(usage: MediaUsage, per_second: int) -> None:
    assert Price(video=VIDEO).media_nano(replace(usage, video_ms=2000)) == 2 * per_second


def test_images_by_size_resolution_and_quality() -> None:
    price = Price(image=tiers_of({"1024x1024": 1, "1024x1024+high": 7, "2k": 3, "*": 9}))
    assert price.media_nano(MediaUsage(images=2, size="1024x1024")) == 2
    assert price.media_nano(MediaUsage(images=2, size="1024x1024", quality="HIGH")) == 14
    assert price.media_nano(MediaUsage(images=1, resolution="2k", size="2048x2048")) == 3
    assert price.media_nano(MediaUsage(images=1, size="512x512")) == 9


def test_what_has_no_price_is_refused_by_name() -> None:
    price = Price(video=tiers_of({"720p": 10}))
    with pytest.raises(ClientError) as refused:
        price.media_nano(MediaUsage(video_ms=1000, resolution="4k"))
    assert refused.value.param == "resolution"
    assert "4k" in refused.value.message


def test_everything_together_is_rounded_up_once() -> None:
    price = Price(input=1, output=1, call=5, video=tiers_of({"*": 1}), characters=1, audio_second=1)
    usage = MediaUsage(video_ms=1, audio_ms=1, characters=1, input_tokens=1, output_tokens=1)
    assert price.media_nano(usage) == 5 + 1


def test_the_formula_is_readable() -> None:
    price = Price(video=tiers_of({"720p": 100_000_000, "*": 200_000_000}), characters=15_000_000_000)
    assert price.describe() == "720p 0.1 | * 0.2 USD/s video + 15 USD/1M characters"


@given(st.integers(0, 10**7), st.integers(0, 10**12))
def test_a_second_costs_its_price_to_the_last_nano(ms: int, nano: int) -> None:
    price = Price(video=tiers_of({"*": nano}))
    cost = price.media_nano(MediaUsage(video_ms=ms))
    assert 0 <= cost * 1000 - ms * nano < 1000
