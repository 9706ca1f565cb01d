"""Acme's machines on loopback, as strict as the real ones."""

from __future__ import annotations

from relayhub.testing import Answer, Recorded, UpstreamSimulator

JSON_LINES = {"content-type": "application/x-ndjson"}


class AcmeSimulator(UpstreamSimulator):
    """Knows the machines ``parrot`` (says your last line again) and ``compass`` (places texts by their length)."""

    key = "acme-key"

    def answer(self, request: Recorded) -> Answer:
        if request.headers.get("x-acme-key") != self.key:
            return problem("who are you?", 401)
        body = request.json()
        match request.method, request.path, body.get("machine"):
            case "POST", "/talk", "parrot":
                return self._talk(body)
            case "POST", "/place", "compass":
                return self._place(body)
            case "POST", "/talk" | "/place", machine:
                return problem(f"there is no machine called {machine}", 404)
            case _:
                return problem("no such place", 404)

    def _talk(self, body: dict[str, object]) -> Answer:
        lines = body["lines"]
        if set(body) != {"machine", "lines", "flow"} or not isinstance(lines, list) or not lines:
            return problem("say machine, lines and flow", 400)
        heard = [str(line["says"]) for line in lines]
        counts = {"heard": sum(len(text.split()) for text in heard), "spoken": len(heard[-1].split())}
        if not body["flow"]:
            return Answer.json({"machine": "parrot", "says": heard[-1], **counts})
        words = [json_line({"says": word}) for word in heard[-1].split(" ")]
        frames = [json_line({"machine": "parrot"}), *words, json_line({"over": True, **counts})]
        return Answer(200, frames, JSON_LINES)

    def _place(self, body: dict[str, object]) -> Answer:
        texts = body["texts"]
        if set(body) != {"machine", "texts"} or not isinstance(texts, list) or not texts:
            return problem("say machine and texts", 400)
        places = [[len(text) / 8, 1.0] for text in texts]
        return Answer.json({"machine": "compass", "places": places, "heard": len(texts)})


def problem(text: str, status: int) -> Answer:
    return Answer.json({"problem": text}, status)


def json_line(value: object) -> bytes:
    body = Answer.json(value).body
    assert isinstance(body, bytes)
    return body + b"\n"
