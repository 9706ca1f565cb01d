"""Every client shape of images on every provider, through the running server. Bodies are those of the fixtures, byte for
byte."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from relayhub.types.sniffing import media_type_of
from tests.support.media_hub import PER_IMAGE_NANO, Hub, fixture, media_hub, recent

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
OTHER_PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
MODELS = {
    "demo-image": "demo",
    "gpt-image-2": "up",
    "doubao-seedream-4-5-251128": "seedance",
    "qwen-image-2.0": "happyhorse",
    "wan2.7-image": "happyhorse",
    "kling-v2-1": "kling",
}
SIZES = {"doubao-seedream-4-5-251128": "2048x2048"}
MOUNTS = ("/v1", "/api/relay/v1", "/{platform}/v1")
FORMATS = (None, "b64_json", "url")
USUAL = {"/v1": "b64_json", "/api/relay/v1": "url", "/{platform}/v1": "b64_json"}

every_model = pytest.mark.parametrize("model", MODELS)
every_mount = pytest.mark.parametrize("mount", MOUNTS)
Answers = Mapping[tuple[Any, ...], httpx2.Response]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with media_hub(tmp_path_factory.mktemp("images")) as hub:
        yield hub


@pytest.fixture(scope="module")
def client(hub: Hub) -> Iterator[httpx2.Client]:
    with hub.client() as client:
        yield client


def at_once(ask: Callable[..., httpx2.Response], wanted: Sequence[tuple[Any, ...]]) -> Answers:
    """All requests at the same time."""
    with ThreadPoolExecutor(32) as pool:
        return dict(zip(wanted, pool.map(lambda one: ask(*one), wanted), strict=True))


def path_of(mount: str, model: str, rest: str) -> str:
    return f"{mount.format(platform=MODELS[model])}/images/{rest}"


@pytest.fixture(scope="module")
def made(client: httpx2.Client) -> Answers:
    def ask(mount: str, model: str, form: str | None) -> httpx2.Response:
        body = {
            "model": model,
            "prompt": f"A fox {mount} {model} {form}",
            **({"response_format": form} if form else {}),
        }
        return client.post(path_of(mount, model, "generations"), json=body)

    return at_once(ask, [(mount, model, form) for mount in MOUNTS for model in MODELS for form in FORMATS])


@every_mount
@every_model
@pytest.mark.parametrize("form", FORMATS)
def test_an_image(hub: Hub, made: Answers, mount: str, model: str, form: str | None) -> None:
    answer = made[mount, model, form]
    assert answer.status_code == 200, answer.text
    body = answer.json()
    (image,) = body["data"]
    name = "url" if (form or USUAL[mount]) == "url" else "b64_json"
    check_content(hub, mount, image, name)
    told = fixture(
        f"s004_image_sync_{'url' if name == 'url' else 'b64'}", created=recent(body["created"]), **{name: image[name]}
    )
    counted = {"usage": body["usage"]} if "usage" in body else {}
    assert answer.content == told[:-1] + json.dumps({"": 0, **counted}, separators=(",", ":")).encode()[5:]
    usage = hub.usage_by(answer)
    assert (usage["operation"], usage["model"], usage["provider"]) == ("image", model, MODELS[model])
    assert (usage["outcome"], usage["cost_nano"]) == ("completed", PER_IMAGE_NANO)
    if counted:
        assert body["usage"]["output_tokens"] == usage["output_tokens"] > 0


def check_content(hub: Hub, mount: str, image: Mapping[str, str], name: str) -> None:
    """Of whatever form, it is a picture."""
    if name == "url":
        opened = hub.open_link(image["url"])
        content, said = opened.content, opened.headers["content-type"]
    else:
        prefix, comma, data = image["b64_json"].rpartition(",")
        assert bool(comma) is (mount == "/{platform}/v1"), "a data URL there, and bare base64 elsewhere"
        content = base64.b64decode(data, validate=True)
        said = prefix.removeprefix("data:").removesuffix(";base64") if comma else media_type_of(content[:64]) or ""
    assert said in ("image/png", "image/jpeg")
    assert media_type_of(content[:64]) == said


# --- edits --------------------------------------------------------------------------------------------------------------

WAYS = ("json", "json list", "form", "form list")


@pytest.fixture(scope="module")
def edited(client: httpx2.Client) -> Answers:
    def ask(mount: str, model: str, way: str) -> httpx2.Response:
        body = {"model": model, "prompt": f"With a hat {mount} {model} by {way}."}
        where = path_of(mount, model, "edits")
        if way.startswith("json"):
            links = [f"data:image/png;base64,{base64.b64encode(one).decode()}" for one in (PNG, OTHER_PNG)]
            return client.post(where, json={**body, "image": links if way == "json list" else links[0]})
        files = [("image[]", PNG), ("image[]", OTHER_PNG)] if way == "form list" else [("image", PNG)]
        parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in body.items()]
        parts += [(name, (f"{number}.png", content, "image/png")) for number, (name, content) in enumerate(files)]
        return client.post(where, files=parts)

    return at_once(ask, [(mount, model, way) for mount in MOUNTS for model in MODELS for way in WAYS])


@every_mount
@every_model
@pytest.mark.parametrize("way", WAYS)
def test_an_edit(hub: Hub, edited: Answers, mount: str, model: str, way: str) -> None:
    answer = edited[mount, model, way]
    assert answer.status_code == 200, answer.text
    (image,) = answer.json()["data"]
    check_content(hub, mount, image, USUAL[mount])
    usage = hub.usage_by(answer)
    assert (usage["cost_nano"], json.loads(usage["media"])["input_kind"]) == (PER_IMAGE_NANO, "image")
    if model == "demo-image":
        return
    prompt = f"With a hat {mount} {model} by {way}."
    upstream = hub.upstreams.of(MODELS[model])
    (sent,) = (one for one in upstream.requests if one.method == "POST" and prompt.encode() in one.body)
    for content in (PNG, OTHER_PNG) if way.endswith("list") else (PNG,):
        assert content in sent.body or base64.b64encode(content) in sent.body


# --- later --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def later(client: httpx2.Client) -> Answers:
    def ask(mount: str, model: str) -> httpx2.Response:
        body = {"model": model, "prompt": f"Later {mount} {model}"}
        return client.post(path_of(mount, model, "generations?async=true"), json=body)

    return at_once(ask, [(mount, model) for mount in MOUNTS for model in MODELS])


@every_mount
@every_model
def test_an_image_that_comes_later(hub: Hub, client: httpx2.Client, later: Answers, mount: str, model: str) -> None:
    submitted = later[mount, model]
    told = submitted.json()
    known = {"id": told["id"], "model": model, "created_at": recent(told["created_at"])}
    assert submitted.content == fixture("s004_image_async_submit", **known)
    assert hub.ended(told["id"])["state"] == "succeeded"
    done = client.get(path_of(mount, model, told["id"]))
    link = done.json()["data"][0]["url"]
    assert done.content == fixture("s004_image_async_get", **known, url=link)
    check_content(hub, mount, {"url": link}, "url")
    inline = client.get(path_of(mount, model, told["id"]) + "?response_format=b64_json").json()["data"][0]
    prefix, _, data = inline["b64_json"].rpartition(",")
    assert bool(prefix) is (mount == "/{platform}/v1")
    assert base64.b64decode(data) == hub.open_link(link).content
    assert hub.usage_of(told["id"])["cost_nano"] == PER_IMAGE_NANO


def test_async_in_a_form(client: httpx2.Client) -> None:
    fields = {"model": "demo-image", "prompt": "A fox", "async": "true"}
    answer = client.post("/v1/images/generations", files=[(name, (None, value)) for name, value in fields.items()])
    assert (answer.json()["object"], answer.json()["status"]) == ("image", "queued")


def test_a_retired_name_is_an_alias(hub: Hub, client: httpx2.Client) -> None:
    answer = client.post("/api/relay/v1/images/generations", json={"model": "dall-e-3", "prompt": "a cute cat", "n": 2})
    assert [hub.open_link(image["url"]).status_code for image in answer.json()["data"]] == [200, 200]
    assert hub.usage_by(answer)["cost_nano"] == 2 * PER_IMAGE_NANO


# --- what is refused ----------------------------------------------------------------------------------------------------


@every_mount
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "A fox"}, "model"),
        ({"model": "demo-image"}, "prompt"),
        ({"model": "demo-image", "prompt": "A fox", "response_format": "png"}, "response_format"),
        ({"model": "demo-image", "prompt": "A fox", "n": 17}, "n"),
        ({"model": "demo-image", "prompt": "A fox", "size": "large"}, "size"),
        ({"model": "demo-image", "prompt": "A fox", "stream": True}, "stream"),
        ({"model": "demo-image", "prompt": "A fox", "sparkle": 3}, "sparkle"),
        ({"model": "demo-image", "prompt": "A fox", "async": "perhaps"}, "async"),
        ({"model": "demo-image", "prompt": "A fox", "mask": base64.b64encode(PNG).decode()}, "mask"),
    ],
)
def test_what_is_wrong_is_named(client: httpx2.Client, mount: str, body: Mapping[str, object], param: str) -> None:
    answer = client.post(f"{mount.format(platform='demo')}/images/generations", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@every_model
def test_an_unknown_parameter_is_named_by_every_provider(hub: Hub, client: httpx2.Client, model: str) -> None:
    answer = client.post("/v1/images/generations", json={"model": model, "prompt": "A fox", "sparkle": 3})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "sparkle")
    row = hub.server.rows("SELECT count(*) AS n FROM jobs WHERE call_id = ?", answer.headers["x-request-id"])
    assert row[0]["n"] == 0, "nothing was held"


def test_an_edit_needs_an_image(client: httpx2.Client) -> None:
    answer = client.post("/v1/images/edits", json={"model": "demo-image", "prompt": "With a hat"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "image")


def test_another_kind_of_job_is_not_found(client: httpx2.Client, later: Answers) -> None:
    id_ = later["/v1", "demo-image"].json()["id"]
    answer = client.get(f"/v1/videos/{id_}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
    assert client.get(f"/kling/v1/images/{id_}").status_code == 404, "nor under another platform"
