"""Broken files for fuzzing: bytes at random, and valid content that something has happened to."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

TEETH = [
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b'"',
    b"\n",
    b"\t",
    b"\x01",
    b"{",
    b"]",
    b"<DOC>",
    b"-1",
    b"1e999",
    b"NaN",
]


@st.composite
def mutated(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """One of the samples, with some spans cut out, doubled, or replaced by something with teeth."""
    content = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        teeth = st.one_of(st.just(b""), st.sampled_from(TEETH), st.binary(max_size=6), st.just(2 * content[start:end]))
        content = content[:start] + draw(teeth) + content[end:]
    return content


def broken(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(mutated(samples), st.binary(max_size=300))
