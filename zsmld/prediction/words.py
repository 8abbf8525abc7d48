"""The words that are to be scored, however they are given: files, tables of vectors, standard input, as they are."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from zsmld.errors import InputError, UsageError
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.vocabulary import Vocabulary, read_vocabulary, vocabulary_of

STANDARD_INPUT = "-"
_TABLE = ".safetensors"
# What is taken for the name of a file, though there is none: `wrods.txt` should not become a word.
_LIKE_A_FILE = re.compile(r"[/\\]|\.(txt|csv|tsv|lst|list|names|json|jsonl|safetensors)$", re.IGNORECASE)


def asked_words(texts: Sequence[str]) -> Vocabulary | LabelEmbeddings | None:
    """The words of `--labels`; None where it was not given.

    Args:
        texts: each a label file, a table that `embed-labels` wrote, `-`, or words with commas between.

    Raises:
        UsageError: a table of vectors beside other words.
        InputError: a file that is absent or faulty, a word twice, no words.
    """
    if len(texts) == 1:
        return _words(texts[0])
    several = [_words(text) for text in texts]
    if not several:
        return None
    for text, words in zip(texts, several, strict=True):
        if isinstance(words, LabelEmbeddings):
            raise UsageError(f"--labels {text} holds vectors, and stands beside other words", remedy="Give it alone.")
    return vocabulary_of([label for words in several for label in words.labels])


def _words(text: str) -> Vocabulary | LabelEmbeddings:
    path = Path(text)
    if text == STANDARD_INPUT:
        lines = (line.strip() for line in _standard_input().splitlines())
        return vocabulary_of(line for line in lines if line and not line.startswith("#"))
    if _is_there(path):
        return LabelEmbeddings.load(path) if path.suffix == _TABLE else read_vocabulary(path)
    if _LIKE_A_FILE.search(text):
        raise InputError("no such label file", path=path, remedy="Check the path, or write words with commas between.")
    return vocabulary_of(word for word in text.split(",") if word.strip())


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("the labels on standard input are not UTF-8 text") from error


def _is_there(path: Path) -> bool:
    # A folder of that name is no label file: photographs of the sea often lie in `sea/`.
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):
        return False
