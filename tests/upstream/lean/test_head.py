"""The head of an answer: read strictly, so that nobody else can read it differently."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable

import pytest

from relayhub.types.limits import MAX_UPSTREAM_HEADERS
from relayhub.upstream.lean.framing import Broken, Chunked, Length, UntilClose
from relayhub.upstream.lean.head import Head, Heads, NewestHead, parse_head


def head(*fields: str, line: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1")


def test_names_are_lower_case_and_values_trimmed() -> None:
    parsed = parse_head(head("Content-TYPE:text/plain", "X-Empty:", "X-Wide: \t a  b \t", "content-length: 3"), "POST")
    assert parsed.status == 200
    assert parsed.headers == {"content-type": "text/plain", "x-empty": "", "x-wide": "a  b", "content-length": "3"}


@pytest.mark.parametrize(
    ("line", "status"),
    [("HTTP/1.1 200", 200), ("HTTP/1.1 200 ", 200), ("HTTP/1.0 404 Nicht gefunden \xfc", 404), ("HTTP/1.1 599 x", 599)],
)
def test_status_lines(line: str, status: int) -> None:
    assert parse_head(head("content-length: 0", line=line), "GET").status == status


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(head(line="HTTP/2 200 OK"), id="version 2"),
        pytest.param(head(line="HTTP/1.2 200 OK"), id="version 1.2"),
        pytest.param(head(line="http/1.1 200 OK"), id="small letters"),
        pytest.param(head(line="HTTP/1.1  200 OK"), id="two spaces"),
        pytest.param(head(line="HTTP/1.1 20 OK"), id="two digits"),
        pytest.param(head(line="HTTP/1.1 2000 OK"), id="four digits"),
        pytest.param(head(line="HTTP/1.1 099 OK"), id="status below 100"),
        pytest.param(head(line="HTTP/1.1 200OK"), id="no space"),
        pytest.param(head(line="HTTP/1.1 200 O\x00K"), id="NUL in the reason"),
        pytest.param(head("a: 1", " folded"), id="continuation line with a space"),
        pytest.param(head("a: 1", "\tfolded"), id="continuation line with a tab"),
        pytest.param(head(" a: 1"), id="space before the name"),
        pytest.param(head("a : 1"), id="space after the name"),
        pytest.param(head("a"), id="no colon"),
        pytest.param(head(": 1"), id="no name"),
        pytest.param(head("a\xe9: 1"), id="letter outside ASCII in a name"),
        pytest.param(head("a: 1\x00"), id="NUL"),
        pytest.param(head("a: 1\x7f"), id="DEL"),
        pytest.param(head("a: 1\rb: 2"), id="bare CR"),
        pytest.param(head("a: 1\nb: 2"), id="bare LF"),
        pytest.param(b"HTTP/1.1 200 OK\ncontent-length: 0\n\r\n\r\n", id="lines that end in LF"),
    ],
)
def test_a_head_that_is_not_valid_is_refused(block: bytes) -> None:
    with pytest.raises(Broken, match="not valid HTTP"):
        parse_head(block, "POST")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(("content-length: 5", "transfer-encoding: chunked"), id="both"),
        pytest.param(("content-length: 5", "content-length: 6"), id="two lengths"),
        pytest.param(("content-length: 5", "Content-Length: 5"), id="two equal lengths"),
        pytest.param(("content-length: 5, 5",), id="two lengths in one line"),
        pytest.param(("content-length: -1",), id="negative"),
        pytest.param(("content-length: +5",), id="sign"),
        pytest.param(("content-length: 0x5",), id="hexadecimal"),
        pytest.param(("content-length: 5_0",), id="underscore"),
        pytest.param(("content-length: 5 0",), id="space inside"),
        pytest.param(("content-length: \xb2",), id="superscript two"),
        pytest.param(("content-length:",), id="empty length"),
        pytest.param(("content-length: " + "9" * 19,), id="beyond 63 bits"),
        pytest.param(("transfer-encoding: gzip, chunked",), id="a coding before chunked"),
        pytest.param(("transfer-encoding: chunked, identity",), id="a coding after chunked"),
        pytest.param(("transfer-encoding: chunked", "transfer-encoding: chunked"), id="chunked twice"),
        pytest.param(("transfer-encoding: xchunked",), id="almost chunked"),
        pytest.param(("transfer-encoding:",), id="empty coding"),
        pytest.param(("content-encoding: gzip", "content-encoding: gzip"), id="compressed twice"),
    ],
)
@pytest.mark.parametrize("line", ["HTTP/1.1 200 OK", "HTTP/1.1 204 No Content"])
def test_framing_in_doubt_is_refused(fields: tuple[str, ...], line: str) -> None:
    with pytest.raises(Broken):
        parse_head(head(*fields, line=line), "POST")


def test_chunks_are_unknown_to_version_1_0() -> None:
    with pytest.raises(Broken, match="transfer-encoding"):
        parse_head(head("transfer-encoding: chunked", line="HTTP/1.0 200 OK"), "POST")


def test_the_framing_that_a_head_announces() -> None:
    assert isinstance(parse_head(head("transfer-encoding: Chunked"), "POST").body, Chunked)
    assert isinstance(parse_head(head("content-length: 5"), "POST").body, Length)
    assert isinstance(parse_head(head(), "POST").body, UntilClose)


@pytest.mark.parametrize(
    ("line", "method"), [("HTTP/1.1 204 No", "POST"), ("HTTP/1.1 304 Not", "GET"), ("HTTP/1.1 200 OK", "HEAD")]
)
def test_some_answers_have_no_body_whatever_they_announce(line: str, method: str) -> None:
    assert parse_head(head("content-length: 50", line=line), method).body.done
    assert parse_head(head("transfer-encoding: chunked", line=line), method).body.done


@pytest.mark.parametrize(
    ("line", "fields", "kept"),
    [
        ("HTTP/1.1 200 OK", (), True),
        ("HTTP/1.1 200 OK", ("connection: Close",), False),
        ("HTTP/1.1 200 OK", ("connection: x, close",), False),
        ("HTTP/1.1 200 OK", ("connection: close", "connection: x"), False),
        ("HTTP/1.0 200 OK", (), False),
        ("HTTP/1.0 200 OK", ("connection: Keep-Alive",), True),
    ],
)
def test_whether_the_connection_may_be_used_again(line: str, fields: tuple[str, ...], kept: bool) -> None:
    assert parse_head(head("content-length: 0", *fields, line=line), "POST").keep_alive is kept


@pytest.mark.parametrize(
    ("value", "idle_s"), [("timeout=5", 5.0), ("max=3, Timeout=72", 72.0), ("max=3", None), ("timeout=x", None)]
)
def test_how_long_the_upstream_keeps_it(value: str, idle_s: float | None) -> None:
    assert parse_head(head(f"Keep-Alive: {value}"), "POST").idle_s == idle_s


def test_the_last_of_repeated_headers_counts() -> None:
    assert parse_head(head("content-type: a/b", "content-type: c/d"), "POST").headers["content-type"] == "c/d"


def test_the_number_of_headers_is_bounded() -> None:
    fields = [f"x-{number}: 1" for number in range(MAX_UPSTREAM_HEADERS + 1)]
    assert len(parse_head(head(*fields[1:]), "POST").headers) == MAX_UPSTREAM_HEADERS
    with pytest.raises(Broken, match="headers"):
        parse_head(head(*fields), "POST")


@pytest.mark.parametrize(("value", "coding"), [("GZIP", "gzip"), ("identity", None), ("", None)])
def test_content_codings(value: str, coding: str | None) -> None:
    assert parse_head(head(f"content-encoding: {value}"), "POST").coding == coding


def test_long_lines_are_not_remembered() -> None:
    """Of cookies and policies there is no end, and a head may have 64 KiB of them."""
    tracemalloc.start()
    try:
        for number in range(50):
            line = f"set-cookie: {number}{'x' * 20_000}"
            parse_head(f"HTTP/1.1 200 OK{'k' * 20_000}{number}\r\n{line}\r\n\r\n".encode(), "POST")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000


# --- those of one connection ------------------------------------------------------------------------------------------

SIZED = ("HTTP/1.1 200 OK", "date: now", "Content-Length: 5", "x-id: 1")
CHUNKED = ("HTTP/1.1 200 OK", "transfer-encoding: chunked", "x-id: 1")


def seen(read: Callable[[bytes, str], Head], block: bytes, method: str) -> tuple[object, ...]:
    """All that one head says, and what becomes of a body behind it."""
    try:
        head = read(block, method)
    except Broken as error:
        return (str(error),)
    kind, done = type(head.body), head.body.done
    fed = b"" if done else head.body.feed(b"2\r\nab\r\n0\r\n\r\n")
    what = (head.status, head.headers, head.keep_alive, head.idle_s, head.coding)
    return (*what, kind, done, fed, head.body.done, head.body.excess)


NEXT = pytest.mark.parametrize(
    ("line", "fields", "method"),
    [
        pytest.param(SIZED[0], SIZED[1:], "POST", id="the same"),
        pytest.param(SIZED[0], ("date: now", "Content-Length: 12", "x-id: 1"), "POST", id="longer"),
        pytest.param(SIZED[0], ("date: now", "Content-Length: 0", "x-id: 1"), "POST", id="empty"),
        pytest.param(SIZED[0], ("date: now", "Content-Length: 007", "x-id: 1"), "POST", id="zeros before it"),
        pytest.param(SIZED[0], ("date: now", "Content-Length: ", "x-id: 1"), "POST", id="no length"),
        pytest.param(SIZED[0], ("date: now", "Content-Length: 5 ", "x-id: 1"), "POST", id="a space behind"),
        pytest.param(SIZED[0], ("date: now", "Content-Length: -5", "x-id: 1"), "POST", id="a sign"),
        pytest.param(SIZED[0], ("date: now", "Content-Length: 5\xb2", "x-id: 1"), "POST", id="superscript two"),
        pytest.param(SIZED[0], ("date: now", "Content-Length: " + "9" * 19, "x-id: 1"), "POST", id="beyond 63 bits"),
        pytest.param(SIZED[0], (*SIZED[1:3], "Content-Length: 5", "x-id: 1"), "POST", id="twice"),
        pytest.param(SIZED[0], (*SIZED[1:3], "transfer-encoding: chunked", "x-id: 1"), "POST", id="and chunked"),
        pytest.param(SIZED[0], (*SIZED[1:3], "x: 1\rb", "x-id: 1"), "POST", id="a bare CR more"),
        pytest.param(SIZED[0], (*SIZED[1:], "x-id: 1"), "POST", id="the end of it twice"),
        pytest.param(SIZED[0], SIZED[1:3], "POST", id="less behind it"),
        pytest.param(SIZED[0], SIZED[1:], "HEAD", id="to HEAD"),
        pytest.param("HTTP/1.1 204 OK", SIZED[1:], "POST", id="no content"),
        pytest.param("HTTP/1.0 200 OK", SIZED[1:], "POST", id="version 1.0"),
        pytest.param(CHUNKED[0], CHUNKED[1:], "POST", id="the same in chunks"),
        pytest.param(CHUNKED[0], CHUNKED[1:], "HEAD", id="in chunks, to HEAD"),
        pytest.param(CHUNKED[0], (*CHUNKED[1:], "x: 1"), "POST", id="in chunks, and more"),
    ],
)


@pytest.mark.parametrize("first", [SIZED, CHUNKED])
@NEXT
def test_the_next_head_of_a_connection_says_what_it_would_say_alone(
    first: tuple[str, ...], line: str, fields: tuple[str, ...], method: str
) -> None:
    heads, block = Heads(), head(*fields, line=line)
    heads.read(head(*first[1:], line=first[0]), "POST")
    for _ in range(2):
        assert seen(heads.read, block, method) == seen(parse_head, block, method)
    assert seen(heads.read, head(*SIZED[1:]), "POST") == seen(parse_head, head(*SIZED[1:]), "POST")


@pytest.mark.parametrize("body", [b"", b"12345", b"\r\n\r\n6", b"12345\r\n\r\n", b"x-id: 1\r\n\r\n", b"123456789012"])
@pytest.mark.parametrize(
    "first", [SIZED, (*SIZED[:1], "content-length: 5"), (*SIZED, "keep-alive: timeout=9"), CHUNKED]
)
@NEXT
def test_a_whole_answer_is_told_as_its_head_has_it(
    first: tuple[str, ...], line: str, fields: tuple[str, ...], method: str, body: bytes
) -> None:
    heads, block = Heads(), head(*fields, line=line)
    heads.read(head(*first[1:], line=first[0]), "POST")
    for data in (block + body, head(*first[1:], line=first[0]) + body):
        alone = whole_alone(data, method)
        alike = method == "POST" and first != CHUNKED and around(data) == around_of(first)
        assert heads.whole(data, method) == (alone if alike else None)


def whole_alone(data: bytes, method: str) -> tuple[str, float | None, bytes] | None:
    """The same of a connection without a past."""
    block, end, body = data.partition(b"\r\n\r\n")
    try:
        found = parse_head(block + end, method)
    except Broken:
        return None
    if not 200 <= found.status < 300 or not found.keep_alive or found.coding or found.body.done != (not body):
        return None
    if body and (found.body.feed(body) != body or not found.body.done or found.body.excess):
        return None
    return found.headers.get("content-type", "").partition(";")[0].strip().lower(), found.idle_s, body


def around(data: bytes) -> list[bytes]:
    """The lines of a head, but for the digits of the length."""
    block = data.partition(b"\r\n\r\n")[0]
    return re.sub(rb"(?i)(\r\ncontent-length: )[0-9]*(?=\r\n|$)", rb"\1", block).split(b"\r\n")


def around_of(first: tuple[str, ...]) -> list[bytes]:
    return around(head(*first[1:], line=first[0]))


@pytest.mark.parametrize(
    "more", ["content-encoding: gzip", "connection: close", "HTTP/1.1 500 No", "HTTP/1.1 302 Found", "HTTP/1.0 200 OK"]
)
def test_only_good_answers_that_leave_their_connection_open_are_told_whole(more: str) -> None:
    heads, line = Heads(), more if more.startswith("HTTP") else "HTTP/1.1 200 OK"
    block = head("content-length: 2", *([] if more is line else [more]), line=line)
    for _ in range(2):
        heads.read(block, "POST")
        assert heads.whole(block + b"{}", "POST") is None


def test_a_part_of_a_whole_answer_is_not_taken_for_all_of_it() -> None:
    heads, block = Heads(), head(*SIZED[1:])
    heads.read(block, "POST")
    data = block + b"12345"
    assert heads.whole(data, "POST") == ("", None, b"12345")
    for start in range(1, len(data)):
        assert heads.whole(data[start:], "POST") is None
        assert heads.whole(data[:-start], "POST") is None


@pytest.mark.parametrize(
    ("said", "told"),
    [("text/event-stream", "text/event-stream"), ("Application/JSON ; charset=UTF-8", "application/json")],
)
def test_the_media_type_of_a_whole_answer(said: str, told: str) -> None:
    heads, block = Heads(), head("content-length: 2", f"content-type: {said}")
    heads.read(block, "POST")
    assert heads.whole(block + b"{}", "POST") == (told, None, b"{}")


def test_an_answer_told_whole_is_a_head_like_the_one_before() -> None:
    """So that a date does not use up what may be learnt."""
    heads = Heads()
    for second in range(100):
        block = head(f"date: {second:03}", "content-length: 5")
        heads.read(block, "POST")
        assert heads.whole(block + b"12345", "POST") is not None


@pytest.mark.parametrize("fields", [CHUNKED, SIZED])
def test_a_part_of_a_head_is_not_taken_for_all_of_it(fields: tuple[str, ...]) -> None:
    heads, block = Heads(), head(*fields[1:], line=fields[0])
    for start in range(1, len(block)):
        for part in (block[start:], block[:-start]):
            heads.read(block, "POST")
            assert seen(heads.read, part, "POST") == seen(parse_head, part, "POST"), part


@pytest.mark.parametrize(("line", "method"), [("HTTP/1.1 204 No", "POST"), ("HTTP/1.1 200 OK", "HEAD")])
def test_a_head_without_a_body_says_nothing_of_the_next_ones_length(line: str, method: str) -> None:
    heads = Heads()
    heads.read(head("content-length: 0", line=line), method)
    assert heads.read(head("content-length: 7", line=line), method).body.done
    assert heads.read(head("content-length: 7"), "POST").body.feed(b"abc") == b"abc"


def test_each_head_has_headers_and_a_body_of_its_own() -> None:
    heads, blocks = Heads(), [head(*CHUNKED[1:]), head(*SIZED[1:])]
    for block in blocks:
        read = [heads.read(block, "POST") for _ in range(3)]
        assert len({id(one.headers) for one in read}) == len({id(one.body) for one in read}) == 3


@pytest.mark.parametrize("fields", [CHUNKED[1:], SIZED[1:]])
def test_what_a_reader_does_with_its_headers_changes_no_other_head(fields: tuple[str, ...]) -> None:
    heads = Heads()
    for _ in range(3):
        found = heads.read(head(*fields), "POST").headers
        assert found["x-id"] == "1"
        assert isinstance(found, dict)
        found["x-id"] = "another"


def test_heads_that_are_never_alike_are_soon_not_compared() -> None:
    heads, start = Heads(), head(*SIZED[1:])
    for number in range(100):
        heads.read(head(*SIZED[1:], f"x-request-id: {number}"), "POST")
    kept = heads._known
    heads.read(start, "POST")
    assert heads._known is kept
    for _ in range(2):
        assert seen(heads.read, start, "POST") == seen(parse_head, start, "POST")


@NEXT
@pytest.mark.parametrize("first", [CHUNKED, SIZED])
def test_a_new_connection_begins_with_the_newest_head_of_the_others_and_reads_as_strictly(
    first: tuple[str, ...], line: str, fields: tuple[str, ...], method: str
) -> None:
    newest, block = NewestHead(), head(*fields, line=line)
    Heads(newest).read(head(*first[1:], line=first[0]), "POST")
    kept = newest.known
    assert kept is not None
    heads = Heads(newest)
    assert heads._known is kept
    assert seen(heads.read, block, method) == seen(parse_head, block, method)
    headers = heads.read(head(*first[1:], line=first[0]), "POST").headers
    headers["x-id"] = "another"
    again = Heads(newest).read(head(*first[1:], line=first[0]), "POST").headers
    assert again == parse_head(head(*first[1:], line=first[0]), "POST").headers


def test_what_a_connection_has_learnt_is_not_taken_from_it() -> None:
    """Servers behind one address may each have a head of their own."""
    newest = NewestHead()
    one, other = Heads(newest), Heads(newest)
    one.read(head("content-length: 5", "x-served-by: one"), "POST")
    kept = one._known
    other.read(head("content-length: 5", "x-served-by: other"), "POST")
    assert one._known is kept is not newest.known is other._known


def test_a_connection_keeps_no_long_head() -> None:
    heads = Heads()
    heads.read(head("content-length: 5", "set-cookie: " + "x" * 20_000), "POST")
    tracemalloc.start()
    try:
        for _ in range(3):
            heads.read(head("content-length: 5", "set-cookie: " + "y" * 20_000), "POST")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10_000
