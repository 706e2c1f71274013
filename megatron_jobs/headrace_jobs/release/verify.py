"""Check a release without a network: digests, no pickle, licences, safetensors that load, tokenizer, and the recorded sample.

Every row of `licences.json` and `mix.json` is held against its licence again (`release/licences.py`): a non-commercial one that somebody
planted is named, whatever class stands beside it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from headrace_jobs.evaluation.bits_per_byte import not_comparable
from headrace_jobs.release.bundle import MODEL
from headrace_jobs.release.digests import DIGESTS_FILE, digest_folder, read_digests, root_of
from headrace_jobs.release.documents import attribution
from headrace_jobs.release.licences import check_bundle
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact

_PICKLE_NAMES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib", ".distcp"}
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
"""Pickle protocols 2 to 5, and the ZIP archives that torch.save writes."""
_CODE_NAMES = {".py", ".pyc", ".so", ".sh"}
REQUIRED = (
    *("README.md", "ATTRIBUTION.md", "licences.json", "mix.json", "gate.json", "evaluation.json", "sample.json", "sbom.json"),
    f"{MODEL}/config.json",
)


@dataclass(frozen=True)
class Check:
    """One check that held; the first that does not hold raises."""

    name: str
    detail: str


def verify_folder(folder: Path, *, expected_root: str = "") -> list[Check]:
    """Check a bundle in a local folder.

    Args:
        expected_root: the root digest that was published elsewhere; without it a bundle can only vouch for itself.

    Raises:
        InputError: a check does not hold; names the file.
    """
    checks = [_digests(folder, expected_root), _no_pickle(folder), _papers(folder)]
    checks += [_weights(folder / MODEL), _sample(folder)]
    return checks


def verify_release(lake: Lake, name: str) -> tuple[str, list[Check]]:
    """Check the newest release of a recipe in the lake, against the root digest that the lake recorded.

    Returns:
        its path and the checks.
    """
    found = _find(lake, name)
    with _local(lake, found.path) as folder:
        return found.path, verify_folder(folder, expected_root=found.digest)


@contextmanager
def checked_bundle(lake: Lake | None, name: str) -> Iterator[Path]:
    """The model's folder of a release, once digests and file kinds were checked; for programs that are about to load it.

    Args:
        lake: None when `name` is a local folder.

    Raises:
        InputError: no such release, or a file is not what was released.
    """
    found = None if lake is None else _find(lake, name)
    with nullcontext(Path(name)) if lake is None or found is None else _local(lake, found.path) as folder:
        _digests(folder, "" if found is None else found.digest)
        _no_pickle(folder)
        yield folder / MODEL


def _find(lake: Lake, name: str) -> Artifact:
    """The newest release of a recipe, or a bundle by name."""
    found = next((a for a in reversed(lake.artifacts("release")) if name in (a.name, a.payload["bundle"])), None)
    if found is None:
        raise InputError(f"no release '{name}'", "run 'headrace release ls', or give a folder")
    return found


@contextmanager
def _local(lake: Lake, path: str) -> Iterator[Path]:
    if not lake.storage.remote:
        yield lake.storage.local_path(path)
        return
    with tempfile.TemporaryDirectory(prefix="headrace-verify-") as temporary:
        for item in lake.storage.list(path):
            target = Path(temporary) / item.path.removeprefix(f"{path}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(lake.storage.read_bytes(item.path))
        yield Path(temporary)


def _digests(folder: Path, expected_root: str) -> Check:
    recorded = read_digests(folder)
    if root_of(recorded.files) != recorded.root:
        raise InputError(f"{DIGESTS_FILE}: the root digest does not match its own list", "do not use this bundle: fetch it again")
    found = digest_folder(folder)
    for name in sorted(set(recorded.files) | set(found.files)):
        if name not in found.files:
            raise InputError(f"bundle file {name} is missing", "fetch the bundle again")
        if name not in recorded.files:
            raise InputError(f"bundle file {name} is not in {DIGESTS_FILE}", "do not use this bundle: something was added")
        if found.files[name] != recorded.files[name]:
            raise InputError(f"bundle file {name} was changed: its SHA-256 differs", "do not use this bundle: fetch it again")
    if expected_root and found.root != expected_root:
        raise InputError(f"the bundle's root digest is {found.root[:16]}, published was {expected_root[:16]}", "this is another bundle")
    return Check("digests", f"{len(found.files)} files, root {found.root}")


def _no_pickle(folder: Path) -> Check:
    files = [p for p in folder.rglob("*") if p.is_file()]
    for path in files:
        name = path.relative_to(folder).as_posix()
        with open(path, "rb") as f:
            start = f.read(4)
        if path.suffix in _PICKLE_NAMES or start.startswith(_PICKLE_STARTS):
            raise InputError(f"bundle file {name} is or may hold a pickle", "weights are safetensors only")
        if path.suffix in _CODE_NAMES:
            raise InputError(f"bundle file {name} is code", "a bundle holds data only")
    return Check("no pickle, no code", f"{len(files)} files looked into")


def _papers(folder: Path) -> Check:
    for name in REQUIRED:
        if not (folder / name).is_file():
            raise InputError(f"bundle file {name} is missing", "build the release again")
    gate = json.loads((folder / "gate.json").read_text(encoding="utf-8"))
    if gate["decision"] not in ("Go", "waiver"):
        raise InputError(f"gate.json: the decision is {gate['decision']}", "this bundle was never let out")
    rights = json.loads((folder / "licences.json").read_text(encoding="utf-8"))
    check_bundle(folder, rights, json.loads((folder / "mix.json").read_text(encoding="utf-8")))
    if (folder / "ATTRIBUTION.md").read_text(encoding="utf-8") != attribution(rights):
        raise InputError("ATTRIBUTION.md is not what licences.json says", "build the release again")
    scores = not_comparable(json.loads((folder / "evaluation.json").read_text(encoding="utf-8")))
    return Check(
        "papers",
        f"{len(rights)} licences; gate {gate['gate']}: {gate['decision']}, signed by {gate['signer']}"
        + (f"; its bits per byte are {scores}" if scores else ""),
    )


def _weights(model: Path) -> Check:
    from safetensors.torch import load_file

    files = sorted(model.glob("*.safetensors"))
    if not files:
        raise InputError(f"{MODEL}/ holds no safetensors file", "build the release again")
    tensors = parameters = 0
    for file in files:
        for name, tensor in load_file(file).items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise InputError(f"{MODEL}/{file.name}: tensor {name} is not finite", "do not use this bundle")
            tensors += 1
            parameters += tensor.numel()
    return Check("weights", f"{tensors} tensors, {parameters:,} parameters, all finite")


def _sample(folder: Path) -> Check:
    from headrace_jobs.release.sample import sample

    recorded = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
    prompts = [s["prompt"] for s in recorded["samples"]]
    again = sample(folder / MODEL, eod=recorded["eod"], prompts=prompts)
    for old, new in zip(recorded["samples"], again["samples"], strict=True):
        if old["ids"] != new["ids"]:
            raise InputError(f"the tokenizer gives other ids for '{old['prompt']}' than recorded", "do not use this bundle")
        if old["continuation"] != new["continuation"]:
            raise InputError(f"the greedy sample of '{old['prompt']}' differs from the recorded one", "weights or libraries differ")
    return Check("sample", f"{len(prompts)} greedy continuations equal the recorded ones")
