"""`report.html`: the whole experiment on one page that needs nothing else."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files

from eval.analysis import ALL, Analysis
from eval.protocol import Protocol
from eval.tables import Table
from eval.tabulate import p_equals
from eval.toml import dumps

SECTIONS = (
    ("results", "Results", ("published", "main", "rounds"), ("rounds", "k")),
    ("differences", "Differences", ("comparisons",), ("gains", "reliability")),
    ("cost", "Cost", ("latency", "stages"), ("pareto",)),
    ("more", "More figures", ("k", "measures", "choices", "taught"), ()),
    ("collections", "Collections", ("collections", "left-out"), ()),
)
"""Anchor, heading, tables, figures."""

CAPTIONS = {
    "k": "{measure} against k; bands are {level:.0%} bootstrap intervals over topics. Full lines: ours; dashed: the "
    "paper's methods; dotted: baselines.",
    "rounds": "{measure} after each round of feedback; bands are {level:.0%} bootstrap intervals over topics.",
    "gains": "What each topic gains (green) or loses (orange) by the best ranker of ours, sorted.",
    "reliability": "How often each ranker is better and worse than the baseline: a reliable one has little orange.",
    "pareto": "{measure} against latency. On the line are the rankers that no other one beats in both.",
}


def render(
    analysis: Analysis, tables: Sequence[Table], figures: Mapping[str, str], versions: Mapping[str, str], when: str
) -> str:
    """The page as HTML."""
    head = analysis.experiment.head
    by_name = {table.name: table for table in tables}
    body = [_head(analysis, when)]
    for anchor, heading, names, plots in SECTIONS:
        shown = [by_name[name].to_html() for name in names if name in by_name]
        drawn = [_plot(analysis, name, figures[name]) for name in plots if name in figures]
        if shown or drawn:
            body.append(f'<h2 id="{anchor}">{heading}</h2>' + "".join([*shown[:1], *drawn, *shown[1:]]))
    body += [_protocol(analysis), _appendix(analysis, versions)]
    style = (files("eval") / "report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(head.name)}: evaluation</title><style>{style}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _head(analysis: Analysis, when: str) -> str:
    head = analysis.experiment.head
    links = "".join(f'<a href="#{anchor}">{heading}</a>' for anchor, heading, *_ in SECTIONS)
    links += '<a href="#protocol">Protocol</a><a href="#appendix">Configuration</a>'
    topics = sum(len(found.topics) for found in analysis.results.collections.values())
    return (
        f"<h1>{html.escape(head.name)}</h1><p class=soft>{html.escape(head.description)}</p>"
        f"<p class=lead>{html.escape(finding(analysis))}</p>"
        f"<p class=soft>{len(analysis.rankers)} rankers, {len(analysis.collections)} collections, {topics:,} topics; "
        f"made {html.escape(when)}.</p><nav>{links}</nav>"
    )


def finding(analysis: Analysis) -> str:
    """The experiment in one sentence, with its uncertainty."""
    means, measure = analysis.means, analysis.experiment.primary
    ours, paper = analysis.best("ours"), analysis.best("paper")
    if not ours or not paper or not (found := analysis.gain):
        best = max(means, key=lambda name: means[name][ALL])
        return f"The highest mean {measure} has {best}: {means[best][ALL]:.3f}."
    options, p = analysis.statistics, found.corrected
    verdict = f"differs from {paper}" if p <= options.level else f"is not shown to differ from {paper}"
    return (
        f"The best of ours, {ours}, has a mean {measure} of {means[ours][ALL]:.3f} and {verdict}, the best of the "
        f"paper's methods ({means[paper][ALL]:.3f}): {found.difference:+.3f}, {1 - options.level:.0%} interval "
        f"{found.low:+.3f} to {found.high:+.3f}, {p_equals(p)} (corrected for having chosen "
        f"the two by their means), {found.wins} topics better and {found.losses} worse."
    )


def _plot(analysis: Analysis, name: str, svg: str) -> str:
    caption = CAPTIONS[name].format(measure=analysis.experiment.primary, level=1 - analysis.statistics.level)
    return f"<figure class=plot>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _protocol(analysis: Analysis) -> str:
    items = [html.escape(sentence) for sentence in in_words(analysis.protocol)]
    for name, found in analysis.results.collections.items():
        items += [f"<b>{html.escape(name)}</b>: {html.escape(note)}" for note in found.bench.episodes.notes]
    for name, reason in analysis.results.skipped.items():
        items.append(f"<b>{html.escape(name)}</b> was skipped: {html.escape(reason)}")
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f'<h2 id="protocol">Protocol</h2><ul>{listed}</ul>'


def in_words(protocol: Protocol) -> list[str]:
    """What the options of the protocol mean."""
    ks = ", ".join(map(str, protocol.k))
    source = {
        "judged": f"Feedback is k relevant and k non-relevant documents, k in {{{ks}}}",
        "clicks": f"Feedback is at most k clicked and k skipped documents of a simulated user, k in {{{ks}}}",
    }[protocol.feedback]
    if protocol.sessions:
        source += f", in each of {protocol.rounds} rounds, from the first {protocol.page} unseen documents."
    elif protocol.feedback == "clicks":
        source += f", from the first {protocol.page} documents of the first ranking ({protocol.first})."
    else:
        source += f", from the top of the first ranking ({protocol.first}, {protocol.depth:,} documents) in rank order."
    residual = {
        "candidates": "Residual collection: every document that could have become feedback, whatever k is, is removed "
        "from the rankings and from the judgements.",
        "control": "Test and control: a half of the documents gives feedback, the other half is measured.",
        "seen": "Residual collection: what a ranker has shown is removed from its ranking and from the judgements, so "
        "rankers are measured on different rests.",
        "none": "Nothing is removed: feedback documents are ranked and measured like any other.",
    }[protocol.residual]
    shares = "/".join(f"{100 * share:g}" for share in protocol.split)
    seeds = ", ".join(map(str, protocol.seeds))
    where = "all topics" if protocol.measured == "all" else f"{protocol.measured} topics"
    terms = ""
    if protocol.expansion_terms:
        terms = f"Query expansion of the paper's methods adds {protocol.expansion_terms} terms, unless they choose. "
    return [
        source,
        residual,
        f"{terms}Rankings are kept and measured to a depth of {protocol.keep}.",
        f"Topics are split {shares} into train, validation and test, with seeds {seeds}; hyper-parameters are chosen "
        f"on validation topics only, and the figures are of {where}, averaged over seeds and k.",
        "Measures follow trec_eval: a topic without a ranking counts 0, unjudged documents are not relevant. nDCG has "
        "linear gains; nDCG(dcg='exp-log2') has gains of 2^grade - 1.",
    ]


def _appendix(analysis: Analysis, versions: Mapping[str, str]) -> str:
    manifests = {name: asdict(found.bench.manifest) for name, found in analysis.results.collections.items()}
    parts = {
        "Configuration as resolved": dumps(analysis.experiment.to_dict()),
        "Software": "\n".join(f"{name} {version}" for name, version in versions.items()),
        "Indexes": json.dumps(manifests, indent=1),
    }
    shown = "".join(
        f"<details><summary>{name}</summary><pre>{html.escape(text)}</pre></details>" for name, text in parts.items()
    )
    return f'<h2 id="appendix">Configuration</h2>{shown}'
