"""The greedy sample that a bundle records and that `verify` repeats: the same weights must say the same words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROMPTS = ("The system administrator", "系统管理员", "Der Systemverwalter")
NEW_TOKENS = 16


def load_model(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a Hugging Face folder: safetensors only, no remote code, no network."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

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
            logits_BSV = model(input_ids=torch.tensor([out])).logits
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
