"""The grammar of `--source`: what it names, and what is said of it behind `::`.

    FILE                                 word vectors (GloVe, word2vec, fastText) or a ready-made array, told by content
    gensim:NAME                          a model of gensim-data, such as glove-wiki-gigaword-300
    open_clip:MODEL@WEIGHTS              the text tower of a CLIP model; WEIGHTS is a tag or a safetensors file
    open_clip:local-dir:FOLDER           the same from a folder
    open_clip:hf-hub:ORG/NAME            the same from the Hugging Face hub

Options follow, each as `::key=value`:

    weight=NUMBER         share of this source, where several stand side by side
    member=NAME           which file of a zip archive
    fallback=SOURCE       another file of the same space, for words that this one lacks
    words=FILE[,FILE]     the words of a ready-made array, in its order; one list for each array of a pickle
    array=NAME            which array of a file that holds several
    order=alphabetical    the rows are in the alphabetical order of the words, not in the order of the list
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from zsmld import files
from zsmld.errors import UsageError, nearest

CLIP, GENSIM = "open_clip:", "gensim:"
KEYS = ("weight", "member", "fallback", "words", "array", "order")
_FOR_FILES = frozenset(KEYS) - {"weight"}
_FOR_GENSIM = frozenset({"fallback"})


@dataclass(frozen=True)
class SourceSpec:
    """One source, parsed. Paths are absolute.

    Attributes:
        kind: whether `name` is a path, a name of gensim-data, or a whole `open_clip:` source.
        name: see `kind`.
        weight, member, fallback, words, array, alphabetical: the options, see the top of this file.
    """

    kind: Literal["file", "gensim", "open_clip"]
    name: str
    weight: float = 1.0
    member: str | None = None
    fallback: str | None = None
    words: tuple[Path, ...] = ()
    array: str | None = None
    alphabetical: bool = False

    @property
    def text(self) -> str:
        """The source in the grammar again, but for its weight; parsing it gives the same."""
        options = {
            "member": self.member,
            "words": ",".join(str(path) for path in self.words) or None,
            "array": self.array,
            "order": "alphabetical" if self.alphabetical else None,
            "fallback": self.fallback,
        }
        head = GENSIM + self.name if self.kind == "gensim" else self.name
        return head + "".join(f"::{key}={value}" for key, value in options.items() if value is not None)


def parse_source(text: str) -> SourceSpec:
    """Parse one `--source`. A text that names a file as a whole is that file, `::` or not.

    Raises:
        UsageError: an unknown key, a value that does not fit, or an option that is not for this kind of source.
    """
    if not text.strip():
        raise UsageError("a source is empty, expected a file, gensim:NAME or open_clip:MODEL@WEIGHTS")
    head, *options = (text,) if _is_file(text) else text.split("::")
    if head.startswith(CLIP):
        spec, admitted = SourceSpec("open_clip", head), frozenset[str]()
    elif head.startswith(GENSIM):
        spec, admitted = SourceSpec("gensim", head.removeprefix(GENSIM)), _FOR_GENSIM
    else:
        spec, admitted = SourceSpec("file", _absolute(head)), _FOR_FILES
    given: set[str] = set()
    for option in options:
        key, equals, value = option.partition("=")
        if key not in KEYS or not equals or not value:
            remedy = nearest(key, KEYS) or f"Options are {', '.join(KEYS)}, each as ::KEY=VALUE."
            raise UsageError(f"source {text!r}: {option!r} is no option", remedy=remedy)
        if key in given:
            raise UsageError(f"source {text!r}: {key} is given twice")
        if key not in admitted | {"weight"}:
            raise UsageError(f"source {text!r}: {_why_not(key, spec.kind)}")
        given.add(key)
        spec = _with_option(spec, key, value, text)
    return spec


def _is_file(text: str) -> bool:
    try:
        return files.expanded(text).is_file()
    except (OSError, ValueError):
        return False


def _absolute(text: str) -> str:
    return str(files.expanded(text).absolute())


def _why_not(key: str, kind: str) -> str:
    if key == "fallback":
        return (
            "a CLIP text tower lacks no word, and its space is another than that of any word vectors, so it can "
            "have no fallback"
        )
    return f"{key} is for files, not for {kind}"


def _with_option(spec: SourceSpec, key: str, value: str, text: str) -> SourceSpec:
    if key == "weight":
        return replace(spec, weight=_weight(value, text))
    if key == "order":
        if value != "alphabetical":
            raise UsageError(f"source {text!r}: order={value} is unknown, expected order=alphabetical")
        return replace(spec, alphabetical=True)
    if key == "words":
        return replace(spec, words=tuple(Path(_absolute(part)) for part in value.split(",") if part))
    if key == "member":
        return replace(spec, member=value)
    if key == "array":
        return replace(spec, array=value)
    return replace(spec, fallback=_fallback(value, text))


def _weight(value: str, text: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        weight = -1.0
    if not 0 < weight < 1e6:
        raise UsageError(f"source {text!r}: weight={value} is no number above 0")
    return weight


def _fallback(value: str, text: str) -> str:
    if value.startswith(CLIP):
        raise UsageError(
            f"source {text!r}: words that word vectors lack cannot be taken from a CLIP text tower: the two spaces "
            "differ, and a label's vector must lie in the space that the model was trained in",
            remedy="Name both with --source to set them side by side, or take a fastText .bin of the same space.",
        )
    return value if value.startswith(GENSIM) else _absolute(value)


def parse_sources(texts: str | Path | Sequence[str | Path]) -> tuple[SourceSpec, ...]:
    """Parse the sources that are to stand side by side: one or more.

    Raises:
        UsageError: none; one twice; a weight where there is one source only; or as `parse_source`.
    """
    listed = [texts] if isinstance(texts, (str, Path)) else list(texts)
    specs = tuple(parse_source(str(text)) for text in listed)
    if not specs:
        raise UsageError("no source given", remedy="Give --source FILE, or set it in zsmld.toml.")
    for number, spec in enumerate(specs):
        if spec.text in {earlier.text for earlier in specs[:number]}:
            raise UsageError(f"source {spec.text!r} is given twice")
    if len(specs) == 1 and specs[0].weight != 1.0:
        raise UsageError("weight is for several sources side by side, there is one", remedy="Leave it out.")
    return specs


def complete_source(incomplete: str) -> list[str]:
    """What may follow in the shell, files apart: prefixes, models of open_clip, names of gensim-data, option keys."""
    if incomplete.startswith(CLIP):
        candidates = [f"{CLIP}{name}@" for name in _clip_models()] + [f"{CLIP}local-dir:", f"{CLIP}hf-hub:"]
    elif incomplete.startswith(GENSIM):
        from zsmld.labels.gensim_data import GENSIM_NAMES

        candidates = [GENSIM + name for name in GENSIM_NAMES]
    elif "::" in incomplete:
        head = incomplete.rpartition("::")[0]
        candidates = [f"{head}::{key}=" for key in KEYS]
    else:
        candidates = [CLIP, GENSIM]
    return [candidate for candidate in candidates if candidate.startswith(incomplete)]


def _clip_models() -> list[str]:
    # Importing open_clip takes seconds; its model configurations are files named like the models.
    from importlib.util import find_spec

    found = find_spec("open_clip")
    if found is None or found.origin is None:
        return []
    return sorted(path.stem for path in (Path(found.origin).parent / "model_configs").glob("*.json"))
