"""The model's judgements, if the policy names one: an OpenAI-compatible endpoint, asked once a case at temperature 0.

Answers are checked against a schema; what does not fit is not a judgement. Good answers are stored under the digest of (endpoint,
model, revision, prompt, texts shown), so the same question is paid for once. A command stops asking at its budget and says so.
Addresses are dialled through the crawler's guard, redirects are not followed, and the key is read at the moment of use and written
nowhere. A document can try to talk the model into an answer: that is why people override it, and why the policy asks for people.

Texts of the sample are sent to another machine: the policy names no model by default.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import Field, ValidationError

from headrace_governance.acquire.crawl.address import AddressGuard, AddressRefused, GuardedTransport
from headrace_governance.audit.removals.judgements import Judgement
from headrace_governance.audit.removals.policy import ModelJudge
from headrace_governance.audit.removals.review import shown_cases
from headrace_governance.audit.removals.sample import Case, Sample
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.strict import StrictModel

_FIELD = re.compile(r"\{(rule|measured|language|removed|kept)\}")
_FENCE = re.compile(r"\s*```(?:json)?\n(?P<body>.*)\n```\s*", re.S)
GIVE_UP_AFTER = 5
"""Failures in a row after which an endpoint is taken to be broken."""


class Answer(StrictModel):
    """What a model must answer."""

    label: Literal["right", "wrong", "unsure"]
    why: str = Field(default="", max_length=2000)


@dataclass
class Asked:
    """What a round of questions brought.

    Attributes:
        cached: answers that were there already.
        failures: case → what was wrong with the answer.
        left: cases that the budget did not reach.
    """

    judgements: list[Judgement] = field(default_factory=list)
    requests: int = 0
    cached: int = 0
    characters: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    left: int = 0


def ask_model(
    lake: Lake, sample: Sample, model: ModelJudge, *, skip: Iterable[str] = (), progress: Callable[[int], None] | None = None
) -> Asked:
    """Ask the model about every case of a sample but those in `skip`.

    Raises:
        ConfigError: the address may not be reached, or the key is missing.
        InputError: the endpoint is broken: it failed several times in a row.
    """
    left_out = set(skip)
    cases = [c for c in sample.cases if c.case not in left_out]
    return asyncio.run(_ask_all(lake, sample, model, cases, progress or (lambda _: None)))


async def _ask_all(lake: Lake, sample: Sample, model: ModelJudge, cases: Sequence[Case], progress: Callable[[int], None]) -> Asked:
    parts = urlsplit(model.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "http" and f"{parts.hostname}:{port}" not in model.allow_hosts:
        raise ConfigError(f"audit model: {parts.hostname}:{port} is asked over plain http", "use https, or list the host in allow_hosts")
    asked, in_a_row = Asked(), 0
    headers = {"Authorization": f"Bearer {model.key.reveal()}"} if model.key is not None else {}
    transport = GuardedTransport(AddressGuard(model.allow_hosts), max_connections=1)
    async with httpx.AsyncClient(transport=transport, timeout=model.timeout_seconds, headers=headers, trust_env=False) as client:
        for number, shown in enumerate(shown_cases(lake, cases, model.text_characters), 1):
            body = request_body(model, shown)
            place = f"audit/answers/{(key := answer_key(model, body))[:2]}/{key}.json"
            answer: Answer | None = None
            if lake.storage.exists(place):
                answer = Answer.model_validate(json.loads(lake.storage.read_bytes(place)))
                asked.cached += 1
            else:
                size = sum(len(m["content"]) for m in body["messages"])
                if asked.requests >= model.max_requests or asked.characters + size > model.max_characters:
                    asked.left += 1
                    continue
                asked.requests += 1
                asked.characters += size
                try:
                    answer = await asyncio.wait_for(_ask(client, model, body), model.timeout_seconds)
                except _BadAnswer as exc:
                    asked.failures[shown["case"]] = str(exc)
                except AddressRefused as exc:
                    raise ConfigError(f"audit model: {exc}", "name a public host, or list host:port in allow_hosts") from exc
                except (TimeoutError, httpx.HTTPError, OSError) as exc:
                    asked.failures[shown["case"]] = f"no answer: {type(exc).__name__}"
                if answer is None:
                    in_a_row += 1
                    if in_a_row >= GIVE_UP_AFTER:
                        why = asked.failures[shown["case"]]
                        raise InputError(
                            f"audit model {model.name}: {in_a_row} failures in a row, last: {why}", "check the endpoint, then run again"
                        )
                else:
                    in_a_row = 0
                    lake.storage.put_bytes(place, answer.model_dump_json().encode("utf-8"))
            if answer is not None:
                asked.judgements.append(_judgement(sample, model, shown["case"], answer))
            progress(number)
    return asked


class _BadAnswer(Exception):
    """An answer that is none."""


async def _ask(client: httpx.AsyncClient, model: ModelJudge, body: dict[str, Any]) -> Answer:
    async with client.stream("POST", model.url, json=body) as response:
        if response.status_code != 200:
            raise _BadAnswer(f"HTTP status {response.status_code}")
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > model.max_response_bytes:
                raise _BadAnswer(f"more than {model.max_response_bytes:,} bytes")
    return parse_answer(bytes(content))


def parse_answer(content: bytes) -> Answer:
    """The answer in a response of the chat completions interface.

    Raises:
        _BadAnswer: it is not of that form, or its message is not an answer to the question.
    """
    try:
        message = json.loads(content)["choices"][0]["message"]["content"]
        fenced = _FENCE.fullmatch(message)
        return Answer.model_validate(json.loads(fenced["body"] if fenced else message))
    except ValidationError as exc:
        first = exc.errors()[0]
        raise _BadAnswer(f"answer's field '{'.'.join(map(str, first['loc']))}': {first['msg']}") from exc
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as exc:
        raise _BadAnswer("the answer is not JSON of the form that was asked for") from exc


def request_body(model: ModelJudge, shown: dict[str, Any]) -> dict[str, Any]:
    """What is sent for a case."""
    values = {
        "rule": f"{shown['verdict']}: {shown['reason']}",
        "measured": shown["measured"],
        "language": shown["language"],
        "removed": shown["removed"],
        "kept": shown["kept"] or "",
    }
    template = model.prompt.single if shown["kept"] is None else model.prompt.pair
    # One pass: what a document holds is never taken for a field of the template.
    text = _FIELD.sub(lambda m: values[m[1]], template)
    return {
        "model": model.name,
        "temperature": model.temperature,
        "max_tokens": model.max_answer_tokens,
        "messages": [{"role": "system", "content": model.prompt.system}, {"role": "user", "content": text}],
    }


def answer_key(model: ModelJudge, body: dict[str, Any]) -> str:
    """Under which an answer is stored: everything that decides about it."""
    return digest_of({"url": model.url, "revision": model.revision, "prompt": model.prompt.digest(), "body": body})


def _judgement(sample: Sample, model: ModelJudge, case: str, answer: Answer) -> Judgement:
    return Judgement(
        sample=sample.fingerprint,
        case=case,
        judge=f"{model.name} {model.revision}",
        kind="model",
        label=answer.label,
        note=answer.why,
        prompt=model.prompt.digest(),
    )
