"""Forms are read the same however they arrive, and only where every parser would read the same in them."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayhub.dialects.multipart import Form, FormScanner, boundary_of
from relayhub.types import limits
from relayhub.types.errors import ClientError, ErrorKind

B = b"----form-1"
WANTED = ("model", "stream", "user")


def part(name: str, content: bytes, more: str = "", *headers: str) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{name}"{more}', *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def body(*parts: bytes, end: bytes = b"--\r\n") -> bytes:
    return b"".join(b"--" + B + b"\r\n" + one + b"\r\n" for one in parts) + b"--" + B + end


AUDIO = part("file", b"RIFF\r\n--\r\n\x00\xff--" + B[:-1] + b"\r\n", '; filename="a.wav"', "Content-Type: audio/wav")
USUAL = body(part("model", b"whisper-1"), AUDIO, part("stream", b"true"), part("prompt", b""))


def read(whole: bytes, size: int | None = None) -> Form:
    scanner = FormScanner(B, WANTED)
    step = size or len(whole) or 1
    for at in range(0, len(whole), step):
        scanner.feed(whole[at : at + step])
    return scanner.finish()


def refusal(whole: bytes, size: int | None = None) -> ClientError:
    with pytest.raises(ClientError) as caught:
        read(whole, size)
    assert caught.value.code == "invalid_multipart"
    assert caught.value.kind is ErrorKind.INVALID_REQUEST
    return caught.value


def contents(form: Form, whole: bytes) -> list[tuple[str, bytes]]:
    return [(one.name, whole[one.start : one.end]) for one in form.parts]


def test_parts_stand_where_the_form_says() -> None:
    form = read(USUAL)
    assert form.values == {"model": "whisper-1", "stream": "true"}
    assert form.size == len(USUAL)
    assert contents(form, USUAL) == [
        ("model", b"whisper-1"),
        ("file", b"RIFF\r\n--\r\n\x00\xff--" + B[:-1] + b"\r\n"),
        ("stream", b"true"),
        ("prompt", b""),
    ]
    assert [one.is_file for one in form.parts] == [False, True, False, False]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_make_no_difference(size: int) -> None:
    assert read(USUAL, size) == read(USUAL)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "file", "b[]"]), st.binary(max_size=60)), max_size=5),
    st.lists(st.integers(1, 40), min_size=1, max_size=40),
)
def test_any_contents_in_any_pieces(parts: list[tuple[str, bytes]], cuts: list[int]) -> None:
    whole = body(*(part(name, content) for name, content in parts))
    scanner, at = FormScanner(B, ()), 0
    for cut in [*cuts, len(whole)]:
        scanner.feed(whole[at : at + cut])
        at += cut
    assert contents(scanner.finish(), whole) == parts


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(USUAL) - 1), st.sampled_from([b"", b"\r", b"\n", b"-", b'"', b"\x00", b"x"]))
def test_a_damaged_form_is_read_alike_in_any_pieces_or_refused(at: int, put: bytes) -> None:
    damaged = USUAL[:at] + put + USUAL[at + 1 :]
    outcomes = []
    for size in (None, 1):
        try:
            outcomes.append(str(read(damaged, size)))
        except ClientError as error:
            outcomes.append(error.code)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("cut", range(1, len(USUAL) - 3, 5))
def test_a_form_that_breaks_off_is_refused(cut: int) -> None:
    refusal(USUAL[:cut])


MALFORMED = {
    "nothing at all": b"",
    "no boundary at the beginning": b"hello" + USUAL,
    "another boundary": USUAL.replace(B, b"----form-2"),
    "bare line feeds": USUAL.replace(b"\r\n", b"\n"),
    "a boundary with something after it": body(part("a", b"1\r\n--" + B + b"x\r\n2")),
    "more after the end": USUAL + b"--" + B + b"\r\n" + part("model", b"other"),
    "a part without headers": body(b"\r\nx"),
    "a part without a blank line": body(b'Content-Disposition: form-data; name="a"'),
    "a delimiter right after the headers": body(part("a", b"1")).replace(b"\r\n\r\n1\r\n", b"\r\n\r\n"),
    "no Content-Disposition": body(b"Content-Type: text/plain\r\n\r\nx"),
    "another disposition": body(b'Content-Disposition: attachment; name="a"\r\n\r\nx'),
    "two Content-Dispositions": body(part("a", b"1", "", 'Content-Disposition: form-data; name="model"')),
    "no name": body(b"Content-Disposition: form-data\r\n\r\nx"),
    "an empty name": body(part("", b"x")),
    "two names in one part": body(part("a", b"x", '; name="model"')),
    "a name in pieces": body(part("a", b"x", '; name*0="mod"; name*1="el"')),
    "an extended name": body(part("a", b"x", "; name*=utf-8''model")),
    "a name with a backslash": body(part("mo\\del", b"x")),
    "an unclosed quote": body(b'Content-Disposition: form-data; name="a\r\n\r\nx'),
    "a folded header": body(part("a", b"x", "", "X-Long: 1", " 2")),
    "a header without a colon": body(part("a", b"x", "", "nonsense")),
    "a control character in a header": body(part("a", b"x", "", "X-A: \x00")),
    "headers in Latin-1": body(b'Content-Disposition: form-data; name="a"; filename="\xe4"\r\n\r\nx'),
    "an encoded part": body(part("model", b"d2hpc3Blcg==", "", "Content-Transfer-Encoding: base64")),
    "a model twice": body(part("model", b"cheap"), part("model", b"dear")),
    "a model that is a file": body(part("model", b"cheap", '; filename="x"')),
    "a model that is not UTF-8": body(part("model", b"\xff")),
    "a wrong length of the part": body(part("model", b"cheap", "", "Content-Length: 3")),
    "a length that is no number": body(part("file", b"cheap", "", "Content-Length: 0x5")),
    "too many parts": body(*[part("a", b"")] * (limits.MAX_FORM_PARTS + 1)),
    "headers that do not end": body(part("a", b"", "", "X-A: " + "x" * limits.MAX_FORM_HEADERS)),
    "a long model": body(part("model", b"x" * (limits.MAX_FORM_VALUE + 1))),
    "much padding after a boundary": b"--" + B + b" " * 300 + b"\r\n" + part("a", b"") + b"\r\n--" + B + b"--",
    "much padding after the end": USUAL + b" " * 300,
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("size", [None, 1, 50])
def test_what_parsers_could_disagree_about_is_refused(name: str, size: int | None) -> None:
    error = refusal(MALFORMED[name], size)
    assert error.message.startswith("The multipart body is malformed: ")


def test_a_refusal_names_the_field() -> None:
    assert refusal(MALFORMED["a model twice"]).param == "model"
    assert "field model is there more than once" in refusal(MALFORMED["a model twice"]).message


@pytest.mark.parametrize(
    "whole",
    [
        USUAL[:-2],
        b"\r\n" + USUAL,
        USUAL + b"\r\n",
        body(end=b"--"),
        USUAL.replace(B + b"\r\n", B + b" \t\r\n"),
        body(b"content-disposition:form-data;name=model\r\n\r\nwhisper-1"),
        body(part("file", b"x", "; filename=\"\u4f60\u597d\"; filename*=utf-8''%E4%BD%A0", "Content-Length: 1")),
        body(part("tag[]", b"1"), part("tag[]", b"2")),
    ],
)
def test_what_clients_really_send_is_taken(whole: bytes) -> None:
    assert read(whole) == read(whole, 1)


def test_a_changed_field_changes_its_length_too() -> None:
    whole = body(part("model", b"short", "", "Content-Length: 5", "X-A: 5"), AUDIO)
    changes = read(whole).changes("model", b"much-longer")
    pieces, at = [], 0
    for start, end, content in changes:
        pieces += [whole[at:start], content]
        at = end
    changed = b"".join([*pieces, whole[at:]])
    assert changed == body(part("model", b"much-longer", "", "Content-Length: 11", "X-A: 5"), AUDIO)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data;charset=utf-8; Boundary="a b:c"', b"a b:c"),
        ("multipart/form-data; boundary=----WebKitFormBoundary0aZ", b"----WebKitFormBoundary0aZ"),
        ("multipart/form-data; boundary=abc;", b"abc"),
    ],
)
def test_the_boundary_is_read_from_the_content_type(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary*0=a; boundary=b",
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a\\"b"',
        'multipart/form-data; boundary="a "',
        "multipart/form-data; boundary=abc, multipart/form-data; boundary=def",
    ],
)
def test_a_boundary_that_cannot_be_sure_is_refused(content_type: str) -> None:
    with pytest.raises(ClientError) as caught:
        boundary_of(content_type)
    assert caught.value.code == "invalid_multipart"


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/mixed; boundary=abc", "text/plain"])
def test_anything_but_a_form_is_another_media_type(content_type: str) -> None:
    with pytest.raises(ClientError) as caught:
        boundary_of(content_type)
    assert caught.value.kind is ErrorKind.UNSUPPORTED_MEDIA


def test_a_large_file_is_not_kept() -> None:
    scanner = FormScanner(B, WANTED)
    whole = body(part("model", b"m"), part("file", b"@", '; filename="a"'))
    before, _, after = whole.partition(b"@")
    chunk = b"\r\n--" + b"x" * ((64 << 10) - 4)
    tracemalloc.start()
    try:
        scanner.feed(before)
        for _ in range(512):
            scanner.feed(chunk)
        scanner.feed(after)
        form = scanner.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(form.part("file")) == 512 * len(chunk)
    assert peak < 1 << 20, f"{peak} bytes for a file of {512 * len(chunk)}"


def test_almost_boundaries_cost_no_more_than_other_bytes() -> None:
    scanner = FormScanner(B, ())
    scanner.feed(body(part("file", b"@")).partition(b"@")[0])
    started = time.perf_counter()
    for _ in range(64):
        scanner.feed((b"\r\n--" + B[:-1]) * 4096)
    assert time.perf_counter() - started < 2
