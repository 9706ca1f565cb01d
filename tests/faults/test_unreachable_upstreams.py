"""An upstream that cannot be reached: nothing was sent, so another one may answer, and nobody pays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from statistics import median

import pytest

from relayhub.testing import Hang
from relayhub.testing.faults import Close, FaultUpstream, answers, doors
from tests.faults.bench import CONNECT_S, LATE_S, UPSTREAM_KEY, Bench, config, provider
from tests.support.openai_wire import completion

GOOD = answers.whole(completion("m"))
QUICK_S = 0.05
"""What a refused connection may cost before the next upstream is asked."""

REFUSED = 5
"""Times in a row, after which it rests."""

DOORS = ("refused", "deaf", "unknown", "stalling", "plain", "expired", "foreign", "other")
"""Providers that cannot be reached; a model `<door>-both` has the good one as its second route, `<door>-only` has not."""

UNTRUSTED = {"expired": "its certificate has expired", "foreign": "nobody knows its authority", "other": "another name"}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FaultUpstream]]:
    """Upstreams behind TLS that must never see a request."""
    ours = doors.Authority.create(tmp_path_factory.mktemp("ours"))
    foreign = doors.Authority.create(tmp_path_factory.mktemp("foreign"))
    upstreams = {
        "trusted": FaultUpstream(tls=ours.server()),
        "expired": FaultUpstream(tls=ours.server(valid_until=-timedelta(days=1))),
        "foreign": FaultUpstream(tls=foreign.server()),
        "other": FaultUpstream(tls=ours.server("127.0.0.9")),
        "stalling": FaultUpstream(accepts=(Hang(),)),
        "plain": FaultUpstream(accepts=(b"HTTP/1.1 400 Bad Request\r\n\r\n", Close())),
    }
    with ExitStack() as serving:
        for upstream in upstreams.values():
            serving.enter_context(upstream.in_thread())
        upstreams["trusted"].program("trusted", GOOD)
        yield upstreams


@pytest.fixture(scope="module")
def hub_config(
    upstream: FaultUpstream, behind: dict[str, FaultUpstream], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    ca_file = str(next(tmp_path_factory.getbasetemp().glob("ours*")) / "authority.pem")
    with doors.refusing_port() as refused, doors.deaf_port() as deaf:
        urls = {"refused": refused, "deaf": deaf, "unknown": "http://nowhere.invalid:1"}
        urls |= {name: found.url.replace("http:", "https:") for name, found in behind.items()}
        entries = {
            name: provider(url, *([name] if name == "trusted" else [f"{name}-both", f"{name}-only"]), ca_file=ca_file)
            for name, url in urls.items()
        }
        entries["good"] = provider(upstream.url, "good", *(f"{name}-both" for name in DOORS))
        yield config(entries)


@pytest.mark.fault("U01", "connections are refused; another upstream has the model")
def test_a_refused_connection_costs_the_next_upstream_nothing(bench: Bench) -> None:
    """The other one answers, at most 50 ms later; sent once, charged once."""
    bench.upstream.program("good", GOOD)
    bench.upstream.program("refused-both", GOOD)
    alone = [bench.chat("good").took_s for _ in range(20)]
    took = [bench.chat("refused-both").took_s for _ in range(20)]
    assert median(took[:REFUSED]) - median(alone) <= QUICK_S, (took, alone)
    assert median(took[REFUSED:]) - median(alone) <= QUICK_S, (took, alone)
    assert bench.row("refused-both")["attempts"] == 1  # the first upstream rests
    assert bench.upstream.counters("refused-both").executions == 20
    assert bench.charged("refused-both") == 20 * (10 * 1000 + 5 * 2000)


@pytest.mark.fault("U02", "connections are refused everywhere")
def test_refused_everywhere_is_an_error_and_free(bench: Bench) -> None:
    """502 at once with Retry-After, charge 0, no hold left."""
    answer = bench.fails_free("refused-only", 502)
    assert answer.took_s <= LATE_S
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.fault("U02", "connecting never ends")
def test_a_deaf_port_is_given_up_at_the_connect_limit(bench: Bench) -> None:
    """502 at the connect limit, charge 0."""
    answer = bench.fails_free("deaf-only", 502)
    assert answer.took_s + 0.05 >= CONNECT_S
    assert answer.took_s <= CONNECT_S + LATE_S
    assert answer.error["code"] == "upstream_unreachable"


@pytest.mark.fault("U04", "the upstream's name does not resolve, or its name servers do not answer")
def test_a_name_that_does_not_resolve_is_not_reached(bench: Bench) -> None:
    """502 within the connect limit, charge 0; another upstream answers where there is one."""
    assert bench.fails_free("unknown-only", 502).took_s <= CONNECT_S + LATE_S
    bench.upstream.program("unknown-both", GOOD)
    answer = bench.chat("unknown-both")
    assert (answer.status, answer.took_s <= CONNECT_S + LATE_S) == (200, True)


@pytest.mark.fault("U06", "the TLS hand-shake stalls, or plain text answers it")
@pytest.mark.parametrize("door", ["stalling", "plain"])
def test_tls_that_does_not_come_about_is_not_reached(bench: Bench, behind: dict[str, FaultUpstream], door: str) -> None:
    """502 within the connect limit, charge 0; another upstream answers where there is one."""
    assert bench.fails_free(f"{door}-only", 502).took_s <= CONNECT_S + LATE_S
    bench.upstream.program(f"{door}-both", GOOD)
    answer = bench.chat(f"{door}-both")
    assert (answer.status, answer.took_s <= CONNECT_S + LATE_S) == (200, True)
    assert behind[door].total.requests == 0


@pytest.mark.fault("U06", "the certificate has expired, is for another address, or comes from an unknown authority")
@pytest.mark.parametrize("door", UNTRUSTED)
def test_a_certificate_that_cannot_be_trusted_never_sees_the_key(
    bench: Bench, behind: dict[str, FaultUpstream], door: str
) -> None:
    """502, charge 0; no request, and so no key, reaches it; another upstream answers where there is one."""
    bench.fails_free(f"{door}-only", 502)
    bench.upstream.program(f"{door}-both", GOOD)
    assert bench.chat(f"{door}-both").status == 200
    assert behind[door].total.requests == 0


@pytest.mark.fault("U06", "a certificate from an authority that `ca_file` names")
def test_a_certificate_of_an_authority_that_is_named_is_trusted(bench: Bench, behind: dict[str, FaultUpstream]) -> None:
    """200."""
    assert bench.chat("trusted").status == 200
    assert behind["trusted"].of("trusted")[0].values("authorization") == [f"Bearer {UPSTREAM_KEY}"]


@pytest.mark.fault("U06", "the config asks for verification to be switched off")
@pytest.mark.parametrize("wish", ["verify: false", "tls_verify: false", "insecure: true", "verify_ssl: false"])
def test_nothing_switches_the_check_off(wish: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The config is refused: there is no such setting."""
    from click.testing import CliRunner

    from relayhub.cli import main

    file = tmp_path_factory.mktemp("off") / "relayhub.yaml"
    file.write_text(
        f"providers: {{up: {{type: openai, base_url: https://127.0.0.1, {wish}, models: {{m: {{free: true}}}}}}}}"
    )
    refused = CliRunner().invoke(main, ["validate", "--config", str(file)])
    assert refused.exit_code == 3
    assert wish.partition(":")[0] in refused.output
