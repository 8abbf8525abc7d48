"""`zsmld embed-labels` in a terminal: what it prints, explains and completes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsmld.labels.embeddings import LabelEmbeddings


def test_what_was_found_how_is_printed(zsmld):
    Path("words.txt").write_text("dog\npolar wolf\npolar-fish\nCATS\n")
    told = zsmld("embed-labels", "words.txt", "--forms", "--output", "new.safetensors")
    assert told.code == 0 and told.stdout == ""
    assert "vectors.txt: 1 whole, 2 composed, 1 form" in told.stderr
    assert LabelEmbeddings.load("new.safetensors").routes == (
        "whole: dog", "composed (mean): polar + wolf", "composed (mean): polar + fish", "form: cat (singular)",
    )  # fmt: skip


def test_explain_tells_of_the_file_and_of_the_source(zsmld):
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    labels = ("Polar_Bear", "polar fish", "whale")
    told = zsmld("embed-labels", *(part for label in labels for part in ("--explain", label)))
    assert (told.code, told.stderr) == (0, "")
    at = [f"\n{told.stdout}".index(f"\n{label}\n") for label in labels]
    stored, composed, lacking = told.stdout[: at[1]], told.stdout[at[1] : at[2]], told.stdout[at[2] :]
    assert "found    composed (mean): polar + bear" in stored and "vectors.txt (word_vectors, 8 numbers" in stored
    assert "nearest  " in stored
    assert "tried    polar fish, polar_fish" in composed and "found    composed (mean): polar + fish" in composed
    assert "lacking  whale" in lacking
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_explain_without_table_or_source_says_what_to_give(zsmld, workspace):
    Path("zsmld.toml").write_text("")
    assert zsmld("embed-labels", "--explain", "dog").code == 0
    told = zsmld("embed-labels", "--explain", "whale")
    assert told.code == 2 and "'whale': not in" in told.errors[0] and "Give --source" in told.errors[0]
    Path("embeddings.safetensors").unlink()
    told = zsmld("embed-labels", "--explain", "dog")
    assert told.code == 2 and "there is no" in told.errors[0]


def test_sources_of_the_configuration_are_relative_to_it(zsmld, workspace, monkeypatch):
    several = 'source = ["vectors.txt::weight=2", "arrays.npz::words=words.txt"]'
    configuration = Path("zsmld.toml")
    configuration.write_text(configuration.read_text().replace('source = "vectors.txt"', several))
    words = ["dog", "cat", "sea", "sky", "polar bear", "wolf"]
    Path("words.txt").write_text("\n".join(words))
    np.savez("arrays.npz", vectors=np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    Path("inside").mkdir()
    monkeypatch.chdir("inside")
    assert zsmld("embed-labels", "../labels.txt", "--output", "../new.safetensors").code == 0
    table = LabelEmbeddings.load("../new.safetensors")
    assert table.width == 8 + 3
    assert [part.weight for part in table.provenance.parts] == [2.0, 1.0]
    assert table.provenance.parts[1].source == f"{workspace}/arrays.npz::words={workspace}/words.txt"


def test_a_model_refuses_words_of_another_source_and_names_both(zsmld):
    Path("other.txt").write_text(Path("vectors.txt").read_text().replace("fish", "fisch").replace("bird", "fish"))
    Image.new("RGB", (32, 32)).save("x.png")
    told = zsmld("predict", "x.png", "--labels", "any.txt", "--source", "other.txt", "--missing", "skip")
    assert told.code == 3
    assert "other.txt is not the source of the label embeddings" in told.errors[0] and "vectors.txt" in told.errors[0]


COMPLETIONS = [
    ("zsmld embed-labels --source open_clip:ViT-B-3", "plain,open_clip:ViT-B-32@"),
    ("zsmld embed-labels --source gensim:glove-twitter-2", "plain,gensim:glove-twitter-25"),
    ("zsmld predict --source gens", "plain,gensim:"),
    ("zsmld embed-labels --source v", "file,v"),
    ("zsmld embed-labels --source v.npz::w", "plain,v.npz::words="),
    ("zsmld embed-labels --templates imagenet-8", "plain,imagenet-80"),
    ("zsmld embed-labels --missing s", "plain,skip"),
]


@pytest.mark.parametrize(("line", "expected"), COMPLETIONS)
def test_the_shell_completes(line, expected):
    words = line.split()
    variables = {"_ZSMLD_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    command = [sys.executable, "-X", "importtime", "-m", "zsmld"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert expected in done.stdout.splitlines()
    # The shell waits for it.
    assert not {"torch", "open_clip", "numpy"} & {row.rpartition("|")[2].strip() for row in done.stderr.splitlines()}
