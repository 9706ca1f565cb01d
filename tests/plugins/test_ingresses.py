"""Client dialects of plugins: what is demanded of them, and that nobody else pays for their bugs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from relayhub.dialects.codec import ClientView, Envelope
from relayhub.plugins.host import PluginHost
from relayhub.plugins.ingresses import Ingress
from relayhub.plugins.loaded import PluginError
from relayhub.types.chat import ChatReply
from relayhub.types.errors import ClientError, ErrorKind, HubError
from tests.e2e.test_plugin_guide import block

PARROT = block("python", "class ParrotCodec")
KIND = 'IngressType("parrot.chat", ["/parrot/chat", "/parrot/{model}/chat"], ParrotCodec(), "Parrots.")'
ENVELOPE = Envelope("m", stream=False, include_usage=False, output_cap=None, choices=1, user=None)
VIEW = ClientView(ENVELOPE, "m", "m")

Load = Callable[..., PluginHost]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(**plugins: str) -> PluginHost:
        for name, text in plugins.items():
            (tmp_path / f"{name}.py").write_text(text)
        return PluginHost.load(dirs=[tmp_path])

    return load


def parrot(load: Load, text: str = PARROT) -> Ingress:
    host = load(parrot=text)
    assert host.quarantined == ()
    (ingress,) = host.ingresses
    return ingress


def test_the_guides_dialect_is_found(load: Load) -> None:
    ingress = parrot(load)
    assert (ingress.plugin, ingress.name) == ("parrot", "parrot.chat")
    assert ingress.keep_alive == b": still thinking\n\n"
    assert ingress.envelope(b'{"ask": "Hi", "model": "m"}') == ENVELOPE


FAULTS = {
    "no list": ("7", "returned 7; return a list of IngressType"),
    "something else": ("[7]", "which is not an IngressType"),
    "another contract": (f"[{KIND[:-1]}, sdk=99)]", "made for plugin contract 99"),
    "no name of a dialect": (f"[{KIND.replace('parrot.chat', 'parrot')}]", "is not a dialect's name"),
    "the hub's own name": (f"[{KIND.replace('parrot.chat', 'openai.chat')}]", "is the hub's own"),
    "one path as text": ('[IngressType("a.b", "/a", ParrotCodec(), "")]', "needs a list of paths"),
    "no paths": ('[IngressType("a.b", [], ParrotCodec(), "")]', "needs a list of paths"),
    "no path": ('[IngressType("a.b", ["chat"], ParrotCodec(), "")]', "is none: write /acme/chat"),
    "a path with a query": ('[IngressType("a.b", ["/chat?x=1"], ParrotCodec(), "")]', "is none: write /acme/chat"),
    "an unknown part": ('[IngressType("a.b", ["/{which}/chat"], ParrotCodec(), "")]', "is none: write /acme/chat"),
    "no codec": ('[IngressType("a.b", ["/a"], object(), "")]', "lacks envelope, decode_request"),
    "twice": (f"[{KIND}, {KIND}]", "it offers 'parrot.chat' twice"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_work_is_quarantined_with_the_reason(load: Load, fault: str) -> None:
    returned, reason = FAULTS[fault]
    host = load(parrot=PARROT.replace(f"[{KIND}]", returned))
    assert [plugin.name for plugin in host.quarantined] == ["parrot"]
    assert reason in host.quarantined[0].reason
    assert host.ingresses == ()


@pytest.mark.parametrize(
    "second",
    [PARROT, PARROT.replace('"parrot.chat", [', '"other.chat", [')],
    ids=["the same name", "the same path"],
)
def test_two_plugins_cannot_share_a_dialect_or_a_path(load: Load, second: str) -> None:
    with pytest.raises(PluginError, match="two plugins bring the ingress"):
        load(one=PARROT, two=second)


def broken(method: str, body: str) -> str:
    """The guide's plugin with another body of one method."""
    head, _, rest = PARROT.partition(f"    def {method}(")
    signature, _, after = rest.partition("\n")
    following = after.find("\n    def ") if "\n    def " in after else len(after)
    return f"{head}    def {method}({signature}\n        {body}\n{after[following:]}"


def test_a_bug_is_the_plugins_own_failure(load: Load) -> None:
    ingress = parrot(load, broken("decode_request", "raise KeyError('oops')"))
    with pytest.raises(HubError) as caught:
        ingress.decode_request(b"{}", ENVELOPE)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INTERNAL, "ingress_failed")
    assert "oops" not in caught.value.message


def test_an_exit_is_too(load: Load) -> None:
    ingress = parrot(load, broken("encode_reply", "raise SystemExit(3)"))
    with pytest.raises(HubError, match="plugin that speaks this API failed"):
        ingress.encode_reply(ChatReply("i", "m", 0, ()), VIEW)


def test_the_wrong_kind_of_value_is_too(load: Load) -> None:
    ingress = parrot(load, broken("envelope", "return {'model': 'm'}"))
    with pytest.raises(HubError):
        ingress.envelope(b"{}")


def test_what_it_means_to_refuse_passes(load: Load) -> None:
    with pytest.raises(ClientError, match="Send what you ask"):
        parrot(load).envelope(b'{"ask": 7}')


def test_bugs_in_a_stream_are_its_own(load: Load) -> None:
    encoder = parrot(load, broken("encode", "return 'text'")).stream_encoder(VIEW)
    with pytest.raises(HubError):
        encoder.encode([])
    nothing = parrot(load, broken("stream_encoder", "return None")).stream_encoder(VIEW)
    with pytest.raises(HubError):
        nothing.finish()


def test_an_error_that_it_cannot_tell_is_told_as_openai_does(load: Load) -> None:
    refusal = ClientError(ErrorKind.NOT_FOUND, "There is no such thing.", code="gone")
    whole = parrot(load).render_error(refusal, "req_1")
    assert (whole.status, whole.body) == (404, b'{"squawk": "There is no such thing.", "code": "gone", "id": "req_1"}')
    usual = parrot(load, broken("encode_error", "1 / 0")).render_error(refusal, "req_1")
    assert usual.status == 404
    assert b'"error"' in usual.body
    event = parrot(load, broken("encode_error_event", "1 / 0")).encode_error_event(refusal, "req_1", ENVELOPE)
    assert event.startswith(b"data: ")
    assert b"There is no such thing." in event
