"""Test collections made of the small corpus, in every file format that collections come in."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from index.types import Document
from tests.conftest import small_corpus

QUERIES = {
    "coffee": ["espresso beans", "a brew with the right filter", "roast and grinder", "what a barista does"],
    "sailing": ["mast and keel", "how to tack in the wind", "rudder of a boat", "harbour at low tide"],
    "python": ["iterator or generator", "exception in a package", "class and module", "list of dictionary"],
    "medicine": ["statin and cholesterol", "blood pressure trial", "placebo for the heart", "dose of a therapy"],
    "astronomy": ["orbit of a planet", "spectrum and redshift", "comet by telescope", "nebula in a galaxy"],
}


def topics() -> dict[str, str]:
    """Twenty topics: id -> query. Every document is a note, so that a query finds them all, its subject's first."""
    return {f"{subject}-q{i}": f"note on {text}" for subject, texts in QUERIES.items() for i, text in enumerate(texts)}


def grades(topic: str, negatives: bool = False) -> dict[str, int]:
    """Documents on the topic's subject are relevant, those with an even number highly so; others may be judged 0."""
    subject = topic.partition("-")[0]
    judged = {}
    for doc in small_corpus():
        if doc.id.startswith(subject):
            judged[doc.id] = 2 if doc.fields["even"] else 1
        elif negatives:
            judged[doc.id] = 0
    return judged


def write_beir(folder: Path, *, negatives: bool = False) -> Path:
    """A BEIR folder with the split `test`."""
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": doc.id, "title": doc.title, "text": doc.text} for doc in small_corpus()]
    queries = [{"_id": topic, "text": text, "metadata": {}} for topic, text in topics().items()]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", queries)
    rows = [f"{topic}\t{doc}\t{grade}" for topic in topics() for doc, grade in grades(topic, negatives).items()]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return folder


def write_qrels(path: Path, negatives: bool = True, scale: int = 1) -> Path:
    rows = [
        f"{topic} 0 {doc} {grade * scale}\n" for topic in topics() for doc, grade in grades(topic, negatives).items()
    ]
    path.write_text("".join(rows))
    return path


def write_lines(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_robust(folder: Path) -> Path:
    """TREC SGML as on disks 4 and 5: files of odd names, unclosed topics with labels, four-column judgements."""
    (folder / "documents" / "ft").mkdir(parents=True)
    corpus = small_corpus()
    for number, part in enumerate((corpus[:30], corpus[30:])):
        text = "".join(_sgml(doc) for doc in part)
        (folder / "documents" / "ft" / f"ft911_{number}").write_text(text, encoding="latin-1")
    blocks = [
        f"<top>\n\n<num> Number: {topic}\n<title> {topic} &amp; more\n\n<desc> Description:\n{text}\n\n"
        f"<narr> Narrative:\nA document about {text}\nis relevant.\n\n</top>\n"
        for topic, text in topics().items()
    ]
    (folder / "topics.txt").write_text("\n".join(blocks))
    write_qrels(folder / "qrels.txt")
    return folder


def _sgml(doc: Document) -> str:
    return (
        f"<DOC>\n<DOCNO> {doc.id} </DOCNO>\n<PROFILE>_AN-{doc.id}</PROFILE>\n<HEADLINE>\nFT  {doc.title}\n</HEADLINE>\n"
        f"<TEXT>\n{doc.text}\n</TEXT>\n<PUB>The Times</PUB>\n</DOC>\n"
    )


def write_covid(folder: Path) -> Path:
    """CORD-19: metadata.csv with duplicates and gaps, full texts beside it; XML topics; judgements from grade 2."""
    parses = folder / "corpus" / "document_parses" / "pdf_json"
    parses.mkdir(parents=True)
    columns = ["cord_uid", "sha", "source_x", "title", "doi", "abstract", "publish_time"]
    columns += ["pdf_json_files", "pmc_json_files"]
    rows = []
    for doc in small_corpus():
        parse = {"paper_id": doc.id, "body_text": [{"text": f"{doc.text} In full.", "section": "Methods"}]}
        (parses / f"{doc.id}.json").write_text(json.dumps(parse))
        stored = f"document_parses/pdf_json/{doc.id}.json; document_parses/pdf_json/other.json"
        rows.append([doc.id, "", "PMC", f" {doc.title} ", "10.1/x", doc.text, "2020-05-01", stored, ""])
    rows.append([rows[0][0], "", "WHO", "the same paper again", "", "", "2020", "", ""])
    rows.append(["", "", "WHO", "a paper without an id", "", "", "2020", "", ""])
    rows.append(["empty", "", "WHO", "", "", "", "2020", "", ""])
    with (folder / "corpus" / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    blocks = [
        f'<topic number="{topic}"><query>{topic}</query><question>{text}?</question>'
        f"<narrative>About {text} &lt;only&gt;</narrative></topic>"
        for topic, text in topics().items()
    ]
    (folder / "topics.xml").write_text(f'<topics task="COVIDSearch" batch="5">{"".join(blocks)}</topics>')
    write_qrels(folder / "qrels.txt", scale=2)
    return folder


def write_news(folder: Path) -> Path:
    """Washington Post articles as lists of blocks; topics that name an article, whose title is the query."""
    folder.mkdir(parents=True)
    articles = []
    for doc in small_corpus():
        blocks: list[object] = [
            {"type": "kicker", "content": "Leisure"},
            {"type": "title", "content": doc.title, "mime": "text/plain"},
            {"type": "date", "content": 1325379405000},
            {"type": "image", "fullcaption": "somebody with an unrelated zeppelin", "blurb": "zeppelin"},
            None,
            {"type": "sanitized_html", "subtype": "paragraph", "content": f"<b>{doc.text}</b> Q&amp;A"},
        ]
        articles.append({"id": doc.id, "title": doc.title, "article_url": "https://x/", "contents": blocks})
    for topic, text in topics().items():
        blocks = [{"type": "sanitized_html", "subtype": "paragraph", "content": f"The news about {text}."}]
        articles.append({"id": f"asked-{topic}", "title": text, "contents": blocks})
    articles.append({"id": articles[0]["id"], "title": "a second time", "contents": []})
    write_lines(folder / "articles.jl", articles)
    tops = [
        f"<top>\n<num> Number: {topic} </num>\n<docid>asked-{topic}</docid>\n<url>https://x/</url>\n</top>\n"
        for topic in topics()
    ]
    (folder / "topics.xml").write_text("".join(tops))
    write_qrels(folder / "qrels.txt", scale=2)
    return folder


def write_touche(folder: Path) -> Path:
    """args.me: one JSON object; arguments with a conclusion and premises; XML topics with a <number>."""
    folder.mkdir(parents=True)
    arguments = [
        {
            "id": doc.id,
            "conclusion": doc.title,
            "premises": [{"text": doc.text, "stance": "PRO", "annotations": []}],
            "context": {"sourceId": "x", "arguments": [{"id": "not an argument of the corpus"}]},
        }
        for doc in small_corpus()
    ]
    arguments.append({"id": "empty", "conclusion": "", "premises": []})
    (folder / "args-me.json").write_text(json.dumps({"nlp": {"x": [1]}, "arguments": arguments}, ensure_ascii=False))
    blocks = [
        f"<topic><number>{topic}</number>\n<title>{text}</title><description>Somebody asks: {text}</description>"
        f"<narrative>Good arguments on {text}</narrative></topic>"
        for topic, text in topics().items()
    ]
    (folder / "topics.xml").write_text(f"<topics>{''.join(blocks)}</topics>")
    write_qrels(folder / "qrels.txt", negatives=False, scale=2)
    return folder
