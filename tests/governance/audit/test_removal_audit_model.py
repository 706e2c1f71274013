"""The model judges over a real HTTP exchange with a small server: answers are checked, kept, paid for once; the key stays secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from audited_lake import audited_lake

from headrace_governance.audit.removals.judgements import combined, record, recorded_judgements
from headrace_governance.audit.removals.model_judge import GIVE_UP_AFTER, ask_model, request_body
from headrace_governance.audit.removals.policy import ModelJudge, load_audit_policy
from headrace_governance.audit.removals.removals import slices_named
from headrace_governance.audit.removals.review import shown_cases
from headrace_governance.audit.removals.sample import Sample, draw_sample
from headrace_governance.audit.removals.verdict import decide
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.strict import parse

KEY = "the-key-that-nobody-may-see"
Reply = Callable[[dict[str, Any]], tuple[int, bytes]]


class Endpoint:
    """An OpenAI-compatible server of one route; `reply` says what it answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, Any], str]] = []
        self.reply: Reply = lambda body: (200, completion('{"label": "right", "why": "the same page"}'))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((body, self.headers.get("Authorization", "")))
                status, content = outer.reply(body) if self.path == "/v1/chat/completions" else (404, b"")
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


def completion(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> tuple[Lake, Sample]:
    """A lake with a small sample; each test asks another endpoint, so none finds another's answers."""
    root = tmp_path_factory.mktemp("audit") / "lake"
    lake = audited_lake(
        Settings.model_validate({"base": str(checkout), "lake": {"root": str(root)}}), originals=10, edited=4, copies=4, short=4
    )
    return lake, draw_sample(lake, slices_named(lake, ["mill"]), verdicts=["exact_duplicate", "gopher_quality"])[0]


def model(endpoint: Endpoint, tmp_path: Path, **changes: Any) -> ModelJudge:
    key = tmp_path / "audit.key"
    key.write_text(KEY + "\n", encoding="utf-8")
    prompt = {"system": "Judge.", "pair": "{measured}: <{removed}> <{kept}>", "single": "{rule} {language}: <{removed}>"}
    data = {"url": f"http://{endpoint.host}/v1/chat/completions", "name": "m", "revision": "1", "prompt": prompt}
    return parse(data | {"key": {"file": str(key)}, "allow_hosts": [endpoint.host]} | changes, ModelJudge, where="audit.yaml")


def test_answers_are_judgements_kept_under_their_question_and_people_override_them(
    standing: tuple[Lake, Sample], endpoint: Endpoint, tmp_path: Path
) -> None:
    lake, sample = standing
    judge = model(endpoint, tmp_path)
    asked = ask_model(lake, sample, judge)
    n = len(sample.cases)
    assert (len(asked.judgements), asked.requests, asked.cached, asked.failures, asked.left) == (n, n, 0, {}, 0) and n >= 8
    body, authorization = endpoint.requests[0]
    assert authorization == f"Bearer {KEY}" and body["temperature"] == 0 and body["model"] == "m"
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert all(
        (j.kind, j.judge, j.note) == ("model", "m 1", "the same page") and j.prompt == judge.prompt.digest() for j in asked.judgements
    )

    again = ask_model(lake, sample, judge)
    assert (again.judgements, again.requests, again.cached) == (asked.judgements, 0, n) and len(endpoint.requests) == n
    assert ask_model(lake, sample, model(endpoint, tmp_path, revision="2")).requests == n, "another revision is another judge"

    record(lake, sample, asked.judgements)
    policy = load_audit_policy(lake.settings)
    assert decide(lake, sample, policy)[0].decision == "not enough judgements", "no person has looked"
    person = asked.judgements[0].model_copy(update={"judge": "Ada", "kind": "person", "label": "wrong", "prompt": ""})
    record(lake, sample, [person])
    decided = combined(recorded_judgements(lake, sample))
    assert decided[person.case] == ("wrong", "person") and sum(kind == "model" for _, kind in decided.values()) == n - 1
    verdict = decide(lake, sample, policy)[0]
    assert (verdict.overall.people, verdict.overall.judged, verdict.overall.wrong) == (1, n, 1)

    stored = b"".join(lake.storage.read_bytes(o.path) for prefix in ("audit", "objects", "data") for o in lake.storage.list(prefix))
    assert KEY.encode() not in stored and b"the same page" in stored


def test_a_hostile_text_fills_one_place_of_the_prompt_and_no_other(
    standing: tuple[Lake, Sample], endpoint: Endpoint, tmp_path: Path
) -> None:
    lake, sample = standing
    judge = model(endpoint, tmp_path)
    shown = next(s for s in shown_cases(lake, sample.cases, 4000) if s["kept"] is not None and "{kept}" in s["removed"])
    text = request_body(judge, shown)["messages"][1]["content"]
    assert text.count(shown["kept"]) == 2 and text.count("{kept}") == 2, "what a document holds is no field of the template"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (completion("Right, I think."), "not JSON of the form"),
        (completion('{"label": "perfect"}'), "field 'label'"),
        (completion('{"label": "right", "confidence": 1}'), "field 'confidence'"),
        (completion("[" * 4000), "not JSON of the form"),
        (b"<html>", "not JSON of the form"),
        (b'{"choices": []}', "not JSON of the form"),
        (completion('{"label": "right", "why": "' + "x" * 9000 + '"}'), "more than 4,096 bytes"),
    ],
)
def test_what_is_no_answer_is_no_judgement(
    standing: tuple[Lake, Sample], endpoint: Endpoint, tmp_path: Path, answer: bytes, why: str
) -> None:
    lake, sample = standing
    good = completion('```json\n{"label": "unsure"}\n```')
    endpoint.reply = lambda body: (200, answer if len(endpoint.requests) == 2 else good)
    asked = ask_model(lake, sample, model(endpoint, tmp_path, max_response_bytes=4096))
    assert len(asked.judgements) == len(sample.cases) - 1 and {j.label for j in asked.judgements} == {"unsure"}
    assert [why in said for said in asked.failures.values()] == [True]


def test_the_budget_ends_the_questions_and_the_next_command_goes_on(
    standing: tuple[Lake, Sample], endpoint: Endpoint, tmp_path: Path
) -> None:
    lake, sample = standing
    n = len(sample.cases)
    first = ask_model(lake, sample, model(endpoint, tmp_path, max_requests=3))
    assert (len(first.judgements), first.left) == (3, n - 3)
    second = ask_model(lake, sample, model(endpoint, tmp_path, max_requests=n))
    assert (len(second.judgements), second.cached, second.left) == (n, 3, 0)
    small = ask_model(lake, sample, model(endpoint, tmp_path, revision="3", max_characters=2500, text_characters=1000))
    assert 0 < small.requests < n and small.characters <= 2500 and small.left == n - small.requests


@pytest.mark.parametrize(("status", "said"), [(500, "HTTP status 500"), (401, "HTTP status 401"), (302, "HTTP status 302")])
def test_a_broken_endpoint_is_given_up_and_redirects_are_not_followed(
    standing: tuple[Lake, Sample], endpoint: Endpoint, tmp_path: Path, status: int, said: str
) -> None:
    lake, sample = standing
    endpoint.reply = lambda body: (status, b"")
    with pytest.raises(InputError, match=f"{GIVE_UP_AFTER} failures in a row, last: {said}") as caught:
        ask_model(lake, sample, model(endpoint, tmp_path))
    assert len(endpoint.requests) == GIVE_UP_AFTER and KEY not in str(caught.value)


def test_private_addresses_plain_http_and_keys_in_the_wrong_place_are_refused(
    standing: tuple[Lake, Sample], endpoint: Endpoint, tmp_path: Path
) -> None:
    lake, sample = standing
    with pytest.raises(ConfigError, match="is asked over plain http"):
        ask_model(lake, sample, model(endpoint, tmp_path, allow_hosts=[]))
    with pytest.raises(ConfigError, match="127.0.0.1: loopback address"):
        ask_model(lake, sample, model(endpoint, tmp_path, allow_hosts=[], url=f"https://{endpoint.host}/v1/chat/completions"))
    with pytest.raises(ConfigError, match="secret file .*nowhere"):
        ask_model(lake, sample, model(endpoint, tmp_path, key={"file": str(tmp_path / "nowhere")}))
    for wrong in ("ftp://host/x", f"https://user:{KEY}@host/x", "host/x"):
        with pytest.raises(ConfigError, match="write https://host/v1/chat/completions") as caught:
            model(endpoint, tmp_path, url=wrong)
        assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="temperature"):
        model(endpoint, tmp_path, temperature=1)
    assert endpoint.requests == []
