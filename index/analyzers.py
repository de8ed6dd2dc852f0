"""Lucene analysers by name: how text becomes terms."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any

from index.errors import InputError
from index.java import java_class

_LUCENE = "org.apache.lucene.analysis"
_LANGUAGES = {
    "ar": "ar.Arabic",
    "bg": "bg.Bulgarian",
    "bn": "bn.Bengali",
    "ca": "ca.Catalan",
    "cjk": "cjk.CJK",
    "ckb": "ckb.Sorani",
    "cs": "cz.Czech",
    "da": "da.Danish",
    "de": "de.German",
    "el": "el.Greek",
    "es": "es.Spanish",
    "et": "et.Estonian",
    "eu": "eu.Basque",
    "fa": "fa.Persian",
    "fi": "fi.Finnish",
    "fr": "fr.French",
    "ga": "ga.Irish",
    "gl": "gl.Galician",
    "hi": "hi.Hindi",
    "hu": "hu.Hungarian",
    "hy": "hy.Armenian",
    "id": "id.Indonesian",
    "it": "it.Italian",
    "ja": "ja.Japanese",
    "lt": "lt.Lithuanian",
    "lv": "lv.Latvian",
    "ne": "ne.Nepali",
    "nl": "nl.Dutch",
    "no": "no.Norwegian",
    "pt": "pt.Portuguese",
    "pt-br": "br.Brazilian",
    "ro": "ro.Romanian",
    "ru": "ru.Russian",
    "sr": "sr.Serbian",
    "sv": "sv.Swedish",
    "ta": "ta.Tamil",
    "te": "te.Telugu",
    "th": "th.Thai",
    "tr": "tr.Turkish",
    "uk": "uk.UkrainianMorfologik",
}
_PLAIN = {
    "simple": "core.Simple",
    "standard": "standard.Standard",
    "stop": "core.Stop",
    "whitespace": "core.Whitespace",
}
_ENGLISH = {"english": "porter", "english-krovetz": "krovetz", "english-unstemmed": ""}
DEFAULT = "english"


def analyzer_names() -> list[str]:
    """Every name that `analyzer` knows: Anserini's English ones, plain ones, and languages by ISO 639 code."""
    return [*_ENGLISH, *_PLAIN, *sorted(_LANGUAGES)]


def check_analyzer(name: str) -> str:
    """The name, if it is one; InputError with the nearest names otherwise. Starts no JVM."""
    known = analyzer_names()
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, 3)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise InputError(f"There is no analyzer named {name!r}.", f"{hint}The names are: {', '.join(known)}.")


@cache
def analyzer(name: str) -> Any:
    """The Lucene Analyzer of that name. `english` is Anserini's default: Porter stemmer, Lucene's stop words."""
    check_analyzer(name)
    if name in _ENGLISH:
        english = java_class("io.anserini.analysis.DefaultEnglishAnalyzer")
        stemmer = _ENGLISH[name]
        return english.newStemmingInstance(stemmer) if stemmer else english.newNonStemmingInstance()
    return java_class(f"{_LUCENE}.{_PLAIN.get(name) or _LANGUAGES[name]}Analyzer")()
