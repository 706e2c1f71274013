"""Licence evidence in the lake: kept when it is new or changed, and compared with what was recorded.

What was seen is an artifact of the kind `licence-evidence`, named after the source, whose digest is the SHA-256 that receipts cite; the
bytes are an object beside it.
"""

from __future__ import annotations

from headrace_governance.acquire.crawl.captures import put_evidence
from headrace_governance.acquire.crawl.evidence import EvidenceSeen
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.storage.objects import object_path

KIND = "licence-evidence"


def recorded_evidence(lake: Lake, source: str) -> Artifact | None:
    """What was recorded of a source's evidence last."""
    return lake.find_artifact(KIND, name=source)


def difference(seen: EvidenceSeen, before: Artifact | None) -> str:
    """What is to be told of evidence that is not what was recorded; empty if it is, or nothing was."""
    if before is None or seen.problem or before.digest == seen.sha256 or before.payload["url"] != seen.url:
        return ""
    return (
        f"licence evidence {seen.url} is not what was recorded on {before.payload['fetched_at']} (sha256 {before.digest}): "
        "read whether the licence still holds"
    )


def record_evidence(lake: Lake, source: str, licence: str, seen: EvidenceSeen, before: Artifact | None) -> None:
    """Keep evidence that is new or changed; what could not be fetched leaves what was recorded as it is."""
    if seen.problem or (before is not None and (before.digest, before.payload["url"]) == (seen.sha256, seen.url)):
        return
    path = object_path("evidence", put_evidence(lake, seen.body, ".bin"), ".bin")
    fingerprint = digest_of({"kind": KIND, "source": source, "url": seen.url, "sha256": seen.sha256, "at": seen.fetched_at})
    lake.record_artifact(
        Artifact(
            kind=KIND, name=source, fingerprint=fingerprint, digest=seen.sha256, path=path, payload={**seen.record(), "licence": licence}
        )
    )
