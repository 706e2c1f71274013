"""The papers of a bundle, written from receipts: licences with attribution, bill of materials, model card."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from headrace_governance.sources.licences.policy import LicencePolicy, require_licence
from headrace_governance.sources.source import Source
from headrace_jobs.evaluation.bits_per_byte import definition_line
from headrace_jobs.release.licences import check_rows
from headrace_lake.errors import InputError
from headrace_lake.foreign_text import markdown, markdown_address


def licences(record: Mapping[str, Any], sources: Mapping[str, Source], policy: LicencePolicy) -> list[dict[str, Any]]:
    """One entry a source and licence of the mix: tokens, documents, and on what the right to use it rests.

    Raises:
        InputError: a source of the mix is not declared any more (its attribution cannot be written), or a row's licence is not what it is
            written down as, or none that the recipe accepts.
        SourceError: a source's declared licence does not hold.
    """
    check_rows(record["licences"], record["recipe"]["licences"], policy, where="the mix")
    rows = []
    for row in record["licences"]:
        source = sources.get(row["source"])
        if source is None:
            raise InputError(f"source '{row['source']}' of the mix has no YAML any more", "restore it: a release names its licences")
        require_licence(source, policy)
        rows.append(
            {
                **row,
                "title": source.title,
                "declared": source.licence.id,
                "basis": source.licence.basis,
                "evidence": source.licence.evidence.model_dump(mode="json"),
            }
        )
    return rows


def attribution(rows: list[dict[str, Any]]) -> str:
    """ATTRIBUTION.md."""
    lines = ["# Attribution", "", "The model was trained on texts from these sources, under these licences.", ""]
    for row in rows:
        evidence = row["evidence"]
        where = markdown_address(evidence["url"]) if evidence.get("url") else markdown(str(evidence.get("text") or "")) or "-"
        lines += [
            f"## {markdown(str(row['title'] or row['source']))}",
            "",
            f"- source `{row['source']}`, licence {markdown(str(row['licence']))} (class {row['licence_class']})",
            *([f"- duties: {', '.join(row['duties']) or 'none'}{_choice(row)}"] if "duties" in row else []),
            f"- {row['documents']:,} documents, {row['tokens']:,} tokens",
            f"- basis: {markdown(str(row['basis']))}",
            f"- evidence: {where}",
            "",
        ]
    return "\n".join(lines)


def _choice(row: Mapping[str, Any]) -> str:
    return f"; taken under {markdown(str(row['choice']))}" if row.get("choice") else ""


def bill_of_materials(root: str) -> dict[str, Any]:
    """CycloneDX 1.5 of the installed distributions that built the bundle. No time in it: the same environment, the same bytes."""
    components: dict[str, dict[str, Any]] = {}
    for found in metadata.distributions():
        name, version = found.metadata["Name"], found.version
        if not name:
            continue
        licence = next((found.metadata[k] for k in ("License-Expression", "License") if k in found.metadata), "")
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        entry: dict[str, Any] = {"type": "library", "name": name, "version": version, "purl": purl}
        if licence and "\n" not in licence and len(licence) < 80:
            entry["licenses"] = [{"license": {"name": licence}}]
        components[f"{name.lower()}@{version}"] = entry
    uuid = f"{root[:8]}-{root[8:12]}-5{root[13:16]}-a{root[17:20]}-{root[20:32]}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid}",
        "version": 1,
        "components": [components[k] for k in sorted(components)],
    }


def model_card(
    name: str, config: Mapping[str, Any], record: Mapping[str, Any], evaluation: Mapping[str, Any], gate: Mapping[str, Any]
) -> str:
    """README.md: only what receipts say."""
    languages = [r["language"] for r in evaluation["languages"]]
    signer, note = markdown(str(gate["signer"])), markdown(str(gate["note"]))
    lines = [
        "---",
        "language:",
        *[f"- '{language}'" for language in languages],
        "library_name: transformers",
        "---",
        "",
        f"# {name}",
        "",
        f"A {config.get('model_type', 'causal language')} model: {config.get('num_hidden_layers', '?')} layers of width "
        f"{config.get('hidden_size', '?')}, vocabulary {config.get('vocab_size', '?')}.",
        "Built by Headrace; every number below comes from a receipt.",
        "",
        "## Training data",
        "",
        "| language | documents | pool tokens | planned tokens | share |",
        "|---|---:|---:|---:|---:|",
    ]
    for language, row in record["by_language"].items():
        lines.append(f"| {language} | {row['documents']:,} | {row['pool_tokens']:,} | {row['planned_tokens']:,} | {row['share']:.2%} |")
    lines += [
        "",
        f"Licence classes: {', '.join(record['by_licence_class'])}. "
        f"Refused at mixing: {markdown(str(record['refused_licences']))}. See ATTRIBUTION.md.",
        f"{record['held_out_documents']:,} documents were held out and never trained on.",
        "",
        "## Evaluation",
        "",
        f"{definition_line(evaluation)} 95 % intervals by bootstrap over documents. Baseline: {evaluation['baseline']}.",
        "",
        "| language | bits per byte | 95 % interval | unigram | documents |",
        "|---|---:|---|---:|---:|",
    ]
    for row in [*evaluation["languages"], evaluation["overall"]]:
        interval = f"{row['low']:.4f} to {row['high']:.4f}"
        lines.append(f"| {row['language']} | {row['bits_per_byte']:.4f} | {interval} | {row['unigram']:.4f} | {row['documents']} |")
    lines += [
        "",
        "## Decision",
        "",
        f"Gate `{gate['gate']}`: **{gate['decision']}**, signed by {signer} ({note}). {markdown(str(gate['reason']))}".rstrip(),
        "",
        "## Limits",
        "",
        "Scored on held-out text only: nothing is known here about instructions, safety or facts.",
        "",
        "## Check it",
        "",
        "`headrace release verify FOLDER` checks digests, weights, tokenizer and the recorded sample without a network.",
        "",
    ]
    return "\n".join(lines)
