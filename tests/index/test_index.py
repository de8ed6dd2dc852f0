"""An opened index: updates, views, vectors, locks, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index import generations
from index.build import BuildOptions, build_index
from index.errors import ConflictError, InputError, NotFoundError, UnavailableError
from index.filters import parse_filter
from index.index import Index
from index.lexical import LexicalQuery
from index.types import Document
from tests.fakes import HashingEncoder

NewIndex = Callable[..., Index]


def search(index: Index, text: str) -> tuple[str, ...]:
    return index.view().lexical.search(LexicalQuery(text=text), 100).ids


def nearest(index: Index, text: str, limit: int = 3, filter_text: str | None = None) -> tuple[str, ...]:
    view = index.view()
    assert view.vectors is not None
    condition = parse_filter(filter_text) if filter_text else None
    return view.vectors.nearest(view.vectors.condition(index.encode([text])), limit, condition)[0].ids


def test_an_upsert_is_seen_at_once_and_replaces(new_index: NewIndex) -> None:
    index = new_index()
    assert index.upsert([Document("new", "Zyzzyva", "a weevil")]) == 1
    assert search(index, "zyzzyva") == ("new",)
    assert index.view().documents == 61
    index.upsert([Document("new", "Zyzzyva", "an insect")])
    assert search(index, "weevil") == ()
    assert search(index, "insect") == ("new",)
    assert index.view().documents == 61


def test_of_several_documents_with_one_id_the_last_stays(new_index: NewIndex) -> None:
    index = new_index()
    index.upsert([Document("new", text="first"), Document("new", text="second")])
    assert search(index, "first") == ()
    assert search(index, "second") == ("new",)
    assert nearest(index, "second", 1) == ("new",)


def test_deletes_count_what_was_there(new_index: NewIndex) -> None:
    index = new_index()
    assert index.delete(["coffee-00", "coffee-00", "nowhere"]) == 1
    assert "coffee-00" not in index.view().lexical
    assert index.view().documents == 59
    assert index.delete(["nowhere"]) == 0


def test_a_view_stays_as_it_was(new_index: NewIndex) -> None:
    index = new_index()
    before = index.view()
    index.upsert([Document("new", text="zyzzyva")])
    index.delete(["coffee-00"])
    assert before.documents == 60
    assert "coffee-00" in before.lexical
    assert len(before.lexical.search(LexicalQuery(text="zyzzyva"), 10)) == 0
    assert before.vectors is not None
    assert before.vectors.take(["coffee-00"]).any()
    everything = before.vectors.nearest(before.vectors.condition(index.encode(["zyzzyva"])), 100)[0]
    assert set(everything.ids) == set(before.lexical.segments.ids)


def test_vectors_follow_updates(new_index: NewIndex, encoder: HashingEncoder) -> None:
    index = new_index()
    nearest(index, "anything")  # FAISS is built now, and has to grow
    index.upsert([Document("new", text="a telescope for the moon and a comet")])
    assert nearest(index, "a telescope for the moon and a comet", 1) == ("new",)
    view = index.view()
    assert view.vectors is not None
    raw = view.vectors.take(["new"], "raw")
    np.testing.assert_allclose(raw, encoder.encode(["a telescope for the moon and a comet"]), atol=1e-3)
    np.testing.assert_allclose(view.vectors.take(["new"]), view.vectors.condition(raw), atol=2e-3)
    assert not view.vectors.take(["nowhere"]).any()
    index.delete(["new"])
    assert "new" not in nearest(index, "a telescope for the moon and a comet", 61)


def test_nearest_documents_obey_filters(dense_index: Index) -> None:
    ids = nearest(dense_index, "espresso beans", 12, 'topic == "coffee" and part < 4')
    assert sorted(ids) == ["coffee-00", "coffee-01", "coffee-02", "coffee-03"]
    assert nearest(dense_index, "espresso", 5, 'topic == "nothing"') == ()


def test_nearest_is_the_cosine_in_the_conditioned_space(dense_index: Index) -> None:
    view = dense_index.view()
    assert view.vectors is not None
    query = view.vectors.condition(dense_index.encode(["boat mast wind"]))
    ranking = view.vectors.nearest(query, 60)[0]
    exact = view.vectors.take(ranking.ids) @ query[0]
    np.testing.assert_allclose(ranking.scores, exact, atol=2e-3)
    assert len(ranking) == 60


@pytest.mark.parametrize("conditioning", ["none", "centred", "whitened"])
def test_every_conditioning_is_kept_in_the_manifest(new_index: NewIndex, conditioning: str) -> None:
    index = new_index(conditioning=conditioning)
    assert index.manifest.space is not None
    assert index.manifest.space.kind == conditioning
    assert nearest(index, "espresso beans grinder", 1)[0].startswith("coffee")
    index.upsert([Document("new", text="zyzzyva")])
    assert nearest(index, "zyzzyva", 1) == ("new",)


def test_new_fields_become_filterable_and_keep_their_type(new_index: NewIndex) -> None:
    index = new_index()
    index.upsert([Document("new", text="zyzzyva", fields={"legs": 6})])
    view = index.view()
    assert view.fields["legs"] == "number"
    condition = parse_filter("legs > 4")
    assert view.lexical.search(LexicalQuery(text="zyzzyva", filter=condition), 5).ids == ("new",)
    with pytest.raises(InputError, match=r"Document 'other': Field 'legs' holds numbers, not 'six'"):
        index.upsert([Document("fine", text="fine"), Document("other", fields={"legs": "six"})])
    assert search(index, "fine") == ()  # all or none


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document(""), "the id is empty"),
        (Document("a\nb"), "control character"),
        (Document("x" * 513), "513 characters"),
        (Document("a\ud800"), "surrogate"),
        (Document("a", fields={"part": float("nan")}), "not a finite number"),
        (Document("a", fields={"topic": "x" * 9_000}), "9,000 characters"),
    ],
)
def test_documents_that_cannot_be_stored_are_refused(new_index: NewIndex, document: Document, message: str) -> None:
    index = new_index()
    with pytest.raises(InputError, match=message):
        index.upsert([document])
    assert index.view().documents == 60


def test_a_document_of_ten_megabytes(new_index: NewIndex) -> None:
    index = new_index(vectors=False)
    index.upsert([Document("big", "Big", "needle " + "hay " * 2_500_000)])
    assert search(index, "needle") == ("big",)
    stored = index.view().lexical.document("big")
    assert stored is not None
    assert len(stored.text) == 10_000_007


@pytest.mark.parametrize("documents", [[], [Document("only", "One", "lonely document")]])
@pytest.mark.parametrize("vectors", [True, False])
def test_tiny_corpora(new_index: NewIndex, documents: list[Document], vectors: bool) -> None:
    index = new_index(vectors=vectors, documents=documents)
    assert index.view().documents == len(documents)
    assert search(index, "lonely") == tuple(d.id for d in documents)
    if vectors:
        assert nearest(index, "lonely") == tuple(d.id for d in documents)
    index.upsert([Document("more", text="company")])
    assert search(index, "company") == ("more",)
    assert index.delete(["more", "only"]) == 1 + len(documents)
    assert search(index, "company") == ()


def test_another_opener_sees_updates_and_new_generations(new_index: NewIndex, encoder: HashingEncoder) -> None:
    writer = new_index()
    reader = Index.open(writer.path, encoder=encoder)
    writer.upsert([Document("new", text="zyzzyva")])
    assert search(reader, "zyzzyva") == ("new",)
    build_index(writer.path, [Document("rebuilt", text="phoenix")], BuildOptions(overwrite=True), encoder=encoder)
    assert search(reader, "phoenix") == ("rebuilt",)
    assert search(writer, "zyzzyva") == ()
    assert reader.view().generation == "000002"


def test_two_writers_at_once_are_refused(new_index: NewIndex) -> None:
    index = new_index()
    with generations.writing(index.path):
        with pytest.raises(ConflictError, match="Another process is writing"):
            Index.open(index.path).delete(["coffee-00"])
        with pytest.raises(ConflictError, match="Another process is writing"):
            build_index(index.path, [], BuildOptions(overwrite=True))
    assert index.delete(["coffee-00"]) == 1


def test_threads_of_one_process_take_turns_and_lose_nothing(new_index: NewIndex) -> None:
    index = new_index()

    def write(name: str) -> None:
        for number in range(5):
            index.upsert([Document(f"{name}-{number}", text=f"written by {name}")])
            assert f"{name}-{number}" in index.view().lexical

    threads = [threading.Thread(target=write, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert index.view().documents == 75
    assert len(search(index, "written")) == 15
    assert set(nearest(index, "written by two", 5)) == {f"two-{n}" for n in range(5)}


def test_an_index_is_not_overwritten_by_accident(new_index: NewIndex) -> None:
    index = new_index()
    with pytest.raises(ConflictError, match="--overwrite"):
        build_index(index.path, [])
    assert index.view().documents == 60


def test_only_the_current_generation_and_the_one_before_stay(new_index: NewIndex) -> None:
    index = new_index(vectors=False)
    for _ in range(3):
        build_index(index.path, [], BuildOptions(overwrite=True))
    assert sorted(p.name for p in (index.path / "generations").iterdir()) == ["000003", "000004"]


def test_duplicate_ids_stop_a_build_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Two documents have the id 'a'"):
        build_index(tmp_path / "index", [Document("a"), Document("b"), Document("a")])
    with pytest.raises(NotFoundError):
        Index.open(tmp_path / "index")
    assert list((tmp_path / "index" / "generations").iterdir()) == []


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no index at"):
        Index.open(tmp_path / "nowhere")


def test_another_format_is_refused(new_index: NewIndex) -> None:
    index = new_index()
    manifest = index.path / "generations" / "000001" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(ConflictError, match="format 99"):
        Index.open(index.path)


def test_a_damaged_manifest_or_pointer_is_named(new_index: NewIndex) -> None:
    index = new_index()
    (index.path / "generations" / "000001" / "manifest.json").write_text("{")
    with pytest.raises(ConflictError, match="damaged"):
        Index.open(index.path)
    (index.path / "current").write_text("nonsense")
    with pytest.raises(ConflictError, match="pointer"):
        Index.open(index.path)


def test_a_model_with_other_weights_is_refused(new_index: NewIndex) -> None:
    index = new_index()
    other = HashingEncoder()
    other.checksum = "f" * 64
    with pytest.raises(ConflictError, match="was made with the model"):
        Index.open(index.path, encoder=other)


def test_without_vectors_encoding_says_so(lexical_index: Index) -> None:
    assert lexical_index.view().vectors is None
    with pytest.raises(UnavailableError, match="has no vectors"):
        lexical_index.encode(["text"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"analyzer": "englisch"}, "Did you mean english"),
        ({"k1": -1.0}, "k1"),
        ({"b": 1.5}, "b cannot be"),
        ({"boosts": {"title": 2.0}}, "not a searched field"),
        ({"layout": "multifield", "boosts": {"title": 0.0}}, "above 0"),
        ({"fields": {"year": "integer"}}, "keyword, number, date"),
        ({"layout": "deep"}, "flat or multifield"),
    ],
)
def test_bad_build_options_are_refused_before_anything_is_written(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BuildOptions(**options)  # type: ignore[arg-type]


def test_warming_up_runs(dense_index: Index, lexical_index: Index) -> None:
    dense_index.warm_up()
    lexical_index.warm_up()
