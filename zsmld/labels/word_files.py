"""A parsed source of word vectors → `WordSource`: files by their content, gensim-data by name, fallbacks."""

from __future__ import annotations

from pathlib import Path

from zsmld.errors import UsageError
from zsmld.labels.array_files import is_array_file, open_array_file
from zsmld.labels.fallback import WithFallback
from zsmld.labels.gensim_data import fetched
from zsmld.labels.source_spec import GENSIM, SourceSpec
from zsmld.labels.vector_files import open_vector_file
from zsmld.labels.word_source import WordSource


def open_word_source(spec: SourceSpec) -> WordSource:
    """Open what `spec` names; a CLIP text tower is no word source.

    Raises:
        InputError: absent, or of no known form.
        UsageError: an option that this kind of file does not have.
        EnvironmentFailure: a model of gensim-data that is not on this machine and cannot be fetched.
    """
    first = open_vector_file(fetched(spec.name)) if spec.kind == "gensim" else _open_file(spec)
    if spec.fallback is None:
        return first
    return WithFallback(first, _open_fallback(spec.fallback), (spec.name, spec.fallback))


def _open_file(spec: SourceSpec) -> WordSource:
    path = Path(spec.name)
    if is_array_file(path):
        _refuse_option(spec, "member", spec.member, "a zip archive of word vectors")
        return open_array_file(path, words=spec.words, array=spec.array, alphabetical=spec.alphabetical)
    for key, value in (("words", spec.words), ("array", spec.array), ("order", spec.alphabetical)):
        _refuse_option(spec, key, value, "a ready-made array, and this is a file of word vectors")
    return open_vector_file(path, member=spec.member)


def _open_fallback(name: str) -> WordSource:
    if name.startswith(GENSIM):
        return open_vector_file(fetched(name.removeprefix(GENSIM)))
    return open_vector_file(Path(name))


def _refuse_option(spec: SourceSpec, key: str, value: object, kind: str) -> None:
    if value:
        raise UsageError(f"source {spec.text!r}: {key} is for {kind}", remedy="Leave it out.")
