"""What a released model says: the greedy sample that a bundle records and `verify` repeats, and free continuations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_lake.errors import InputError

PROMPTS = ("The system administrator", "系统管理员", "Der Systemverwalter")
NEW_TOKENS = 16


def load_model(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a Hugging Face folder: safetensors only, no remote code, no network."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    model = AutoModelForCausalLM.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="float32"
    )
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    model.train(False)
    return model, tokenizer


def greedy(model: Any, ids: Sequence[int], *, new_tokens: int = NEW_TOKENS) -> list[int]:
    """The most probable continuation, token by token; ties go to the smaller id."""
    import torch

    out = list(ids)
    with torch.no_grad():
        for _ in range(new_tokens):
            logits_BSV = model(input_ids=torch.tensor([out]), logits_to_keep=1).logits  # of the last place only
            out.append(int(torch.argmax(logits_BSV[0, -1])))
    return out[len(ids) :]


def sample(folder: Path, *, eod: int, prompts: Sequence[str] = PROMPTS) -> dict[str, Any]:
    """Greedy continuations of the prompts, each after an end-of-document token, as every document begins in training."""
    model, tokenizer = load_model(folder)
    rows = []
    for prompt in prompts:
        ids = [int(i) for i in tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        new = greedy(model, [eod, *ids])
        rows.append({"prompt": prompt, "ids": ids, "continuation": new, "text": tokenizer.decode(new)})
    return {"eod": eod, "new_tokens": NEW_TOKENS, "samples": rows}


class _Told:
    """What `generate` hands its tokens to as they come; the first call is the prompt."""

    def __init__(self, on_token: Callable[[], None]) -> None:
        self._on_token, self._prompt = on_token, True

    def put(self, value: Any) -> None:
        """A token, or the prompt."""
        if not self._prompt:
            self._on_token()
        self._prompt = False

    def end(self) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class Continuation:
    """What a model went on with.

    Attributes:
        ids: new tokens, the closing end-of-document token not among them.
        ended: the model closed the document; otherwise it was cut.
    """

    text: str
    ids: list[int]
    ended: bool


def continuation(
    folder: Path,
    prompt: str,
    *,
    new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    on_token: Callable[[], None] = lambda: None,
) -> Continuation:
    """Continue a prompt with the model of a Hugging Face folder; the same seed gives the same text on the same machine.

    Args:
        temperature: 0 always takes the most probable token, and then neither top_p nor seed matters.
        top_p: draw from the likeliest tokens that together hold this probability (Holtzman et al. 2020).
        on_token: called after each new token.

    Raises:
        InputError: prompt and continuation are longer than the model's positions.
    """
    import torch

    model, tokenizer = load_model(folder)
    eod = int(model.generation_config.eos_token_id)
    ids = [eod, *(int(i) for i in tokenizer(prompt, add_special_tokens=False)["input_ids"])]
    room = int(model.config.max_position_embeddings) - len(ids)
    if room < new_tokens:
        raise InputError(
            f"the prompt's {len(ids)} tokens and {new_tokens} new ones are more than the model's {len(ids) + room} positions",
            f"ask for at most {room} tokens" if room > 0 else "give a shorter prompt",
        )
    draw: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {"do_sample": False}
    )
    torch.manual_seed(seed)
    tokens_BS = torch.tensor([ids])
    with torch.no_grad():
        out_BS = model.generate(
            tokens_BS, attention_mask=torch.ones_like(tokens_BS), max_new_tokens=new_tokens, streamer=_Told(on_token), **draw
        )
    new = [int(i) for i in out_BS[0, len(ids) :]]
    ended = bool(new) and new[-1] == eod
    kept = new[:-1] if ended else new
    return Continuation(tokenizer.decode(kept), kept, ended)
