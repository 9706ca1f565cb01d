"""An upstream that sends too much: every buffer has a cap, and the memory is given back."""

from __future__ import annotations

import pytest

from relayhub.testing.faults import Fault, FaultUpstream, answers, does, sizes
from tests.faults.bench import Bench, config, provider
from tests.faults.memory import MIB, forget_peak, peak_bytes, resident_bytes
from tests.support.openai_wire import DONE, chunk, completion, error

EVENT = chunk("m", content="x")
LINE_CAP = 1 * MIB
BODY_CAP = 64 * MIB


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    """The caps are met long before any deadline, however slow the machine is."""
    patient = {"connect_s": 5, "first_byte_s": 30, "idle_s": 30, "total_s": 60}
    return config({"up": provider(upstream.url, timeouts=patient)})


@pytest.mark.fault("U26", "200 MiB of JSON, or JSON that never ends")
@pytest.mark.parametrize("fault", [sizes.long_body(200 * MIB), sizes.endless_body()], ids=["200 MiB", "endless"])
def test_a_whole_answer_is_read_up_to_a_cap(bench: Bench, fault: Fault, request: pytest.FixtureRequest) -> None:
    """502 at 64 MiB, charge 0; memory grows by not much more than the cap."""
    model = request.node.callspec.id.replace(" ", "-")
    bench.upstream.program(model, fault)
    before = resident_bytes(bench.hub.process.pid)
    forget_peak(bench.hub.process.pid)
    answer = bench.fails_free(model, 502)
    assert answer.error["code"] == "upstream_too_large"
    assert peak_bytes(bench.hub.process.pid) - before <= BODY_CAP + 32 * MIB
    assert bench.upstream.counters(model).bytes_sent <= BODY_CAP + 32 * MIB
    assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 0, 2)


@pytest.mark.fault("U27", "a line of 100 MiB in a stream")
def test_a_line_is_read_up_to_a_cap(bench: Bench) -> None:
    """What came before is delivered and charged, then an error event at 1 MiB; the connection is dropped."""
    bench.upstream.program("line", sizes.long_line(EVENT, size=100 * MIB))
    before = resident_bytes(bench.hub.process.pid)
    forget_peak(bench.hub.process.pid)
    answer = bench.breaks_visibly("line")
    assert answer.body.startswith(EVENT)
    assert len(answer.body) < 4096
    assert peak_bytes(bench.hub.process.pid) - before <= 8 * LINE_CAP
    assert bench.upstream.counters("line").bytes_sent <= 16 * MIB


@pytest.mark.fault("U29", "a plain body that says it is compressed")
def test_a_false_encoding_is_an_error(bench: Bench) -> None:
    """502, charge 0."""
    bench.upstream.program("false", sizes.falsely_compressed(completion("false")))
    bench.fails_free("false", 502)


@pytest.mark.fault("U29", "1 GiB of JSON, compressed to 1 MiB")
def test_a_compressed_bomb_does_not_go_off(bench: Bench) -> None:
    """502, charge 0; memory stays under the cap for bodies and everybody else is served meanwhile."""
    bench.upstream.program("bomb", sizes.compressed_bomb(1024 * MIB))
    before = resident_bytes(bench.hub.process.pid)
    forget_peak(bench.hub.process.pid)
    bench.fails_free("bomb", 502)
    assert peak_bytes(bench.hub.process.pid) - before <= BODY_CAP + 32 * MIB


@pytest.mark.fault("U37", "a header of 128 KiB, 20 000 headers, or a head that never ends")
@pytest.mark.parametrize(
    "fault",
    [sizes.long_header(completion("h")), sizes.many_headers(completion("h")), sizes.endless_head()],
    ids=["long", "many", "endless"],
)
def test_a_head_is_read_up_to_a_cap(bench: Bench, fault: Fault, request: pytest.FixtureRequest) -> None:
    """502, charge 0; the connection is dropped."""
    model = f"head-{request.node.callspec.id}"
    bench.upstream.program(model, fault)
    bench.fails_free(model, 502)
    assert bench.upstream.counters(model).bytes_sent <= 16 * MIB
    assert bench.upstream.wait_for(lambda: bench.upstream.counters(model).open == 0, 2)


@pytest.mark.fault("U37", "an error text of 10 MiB")
def test_an_error_text_is_cut(bench: Bench) -> None:
    """The client is shown 2 000 characters of it at most."""
    body = error("no " * (4 * MIB), type_="invalid_request_error")
    bench.upstream.program("wordy", does(answers.whole(body, status="400 Bad Request"), executed=False))
    answer = bench.chat("wordy")
    assert answer.status in (400, 502)
    assert len(answer.body) <= 4096
    assert bench.charged("wordy") == 0


@pytest.mark.fault("L7", "a stream of 30 000 events at once")
def test_a_flood_passes_whole_and_is_not_kept(bench: Bench) -> None:
    """Every event arrives in order; memory does not grow with the answer."""
    events = [chunk("flood", content=f"{number} " + "word " * 100) for number in range(300)]
    block = b"".join(events)
    frames = [*[block] * 100, chunk("flood", finish="stop") + DONE]
    bench.upstream.program("flood", answers.streamed(*frames))
    before = resident_bytes(bench.hub.process.pid)
    forget_peak(bench.hub.process.pid)
    answer = bench.chat("flood", stream=True)
    assert answer.body == b"".join(frames)
    assert peak_bytes(bench.hub.process.pid) - before <= 16 * MIB
