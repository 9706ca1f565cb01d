"""What upstreams repeat of a request is taken out of their words; the rest of them stays."""

from __future__ import annotations

import json
import time

import pytest

from relayhub.dialects.redact import MOST_COMPARED, without_quotes

PROMPT = 'Write "an ode" to my secret project Bluebird-9\nand its moons, 写一首关于大海和月亮的诗'
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 5}).encode()


@pytest.mark.parametrize(
    "said",
    [BODY, json.dumps(json.loads(BODY), ensure_ascii=False).encode(), PROMPT.encode(), json.dumps([[PROMPT]]).encode()],
    ids=["escaped", "plain", "no JSON", "nested"],
)
@pytest.mark.parametrize("quote", [PROMPT, PROMPT[20:44], "secret project", "Bluebird-9", "写一首关于大海和月亮的诗"])
def test_a_quotation_is_taken_out(said: bytes, quote: str) -> None:
    told = without_quotes(f"invalid_request_error The text “{quote}” is not allowed here (see policy 7).", said)
    for word in quote.split():
        assert len(word) < 5 or word not in told
    assert told.startswith("invalid_request_error")
    assert told.endswith("(see policy 7).")
    assert "…" in told


@pytest.mark.parametrize(
    "text",
    [
        "The model gpt-4o-mini does not exist.",
        "max_tokens is too large: 5",
        "You exceeded your quota.",
        "",
        "no",
        "x" * 500,
    ],
)
def test_what_is_no_quotation_stays(text: str) -> None:
    assert without_quotes(text, BODY) == text


@pytest.mark.parametrize("at", range(9))
def test_wherever_it_stands_eleven_characters_are_found(at: int) -> None:
    told = without_quotes("." * at + " qwertyuiopa.", b'{"input": "qwertyuiopa"}')
    assert "qwerty" not in told
    assert "uiopa" not in told


@pytest.mark.parametrize("said", [b"x" * (MOST_COMPARED + 1), object()])
def test_where_it_cannot_be_told_nothing_is_repeated(said: object) -> None:
    assert "hello" not in without_quotes("hello", said)


def test_the_longest_request_that_is_searched_takes_a_moment() -> None:
    said = json.dumps({"input": "lorem ipsum " * (MOST_COMPARED // 13)}).encode()
    started = time.perf_counter()
    without_quotes("dolor sit amet " * 130, said)
    assert time.perf_counter() - started < 1
