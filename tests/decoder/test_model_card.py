"""Cards: what they say, that nobody's words become markup, and whose they are."""

import json
import re

import pytest
import yaml
from huggingface_hub import ModelCard
from model_folders import LABELS, RECORD, REPORT, make, table

from zsmld import files
from zsmld.decoder.model_card import card, is_licence, is_own, without_folders
from zsmld.decoder.model_folder import card_of, load_model, refresh_card
from zsmld.markdown import escaped

ANNOTATIONS = escaped("annotations.jsonl")


def described(folder):
    return json.loads((folder / "config.json").read_text())


def front(text):
    """The lines that the hub reads, as its library understands them."""
    assert text.startswith("---\n")
    found = ModelCard(text).data.to_dict()
    assert found == yaml.safe_load(text.split("---\n")[1])
    return found


def test_training_leaves_a_card_that_says_what_the_model_is(folder):
    text = (folder / "README.md").read_text()
    assert is_own(text) and text == card_of(folder)
    assert front(text) == {
        "library_name": "zsmld", "pipeline_tag": "zero-shot-image-classification",
        "tags": ["zero-shot", "multi-label", "ml-decoder"],
    }  # fmt: skip
    for told in (
        "An ML-Decoder head in zero-shot mode", escaped("timm:test_vit"), "frozen", "6 labels", ANNOTATIONS,
        escaped("sha256:1234"), "| training images | 120 |", "| seed | 7 |", escaped("torch 2.15.0"),
        f"| {escaped('learning-rate')} | {escaped('0.001')} |", "6 numbers from glove", "Not measured.", "THIS_FOLDER",
        "need the source of the label vectors",
    ):  # fmt: skip
        assert told in text, told
    assert "somebody" not in text and "/srv" not in text and "licence" not in text and "CONTROL" not in text


def test_figures_stand_in_the_text_and_where_the_hub_looks_for_them(folder):
    files.write_json(folder / "report.json", REPORT)
    text = card_of(folder, name="me/holidays", licence="cc-by-4.0")
    found = front(text)
    assert found["license"] == "cc-by-4.0"
    (index,) = found["model-index"]
    assert index["name"] == "holidays"
    (result,) = index["results"]
    assert result["dataset"] == {"name": "annotations.jsonl", "type": "other", "split": "test"}
    assert [(each["name"], each["type"], each["value"]) for each in result["metrics"]] == [
        ("ZSL mAP", "mAP", 0.2371), ("ZSL F1@3", "f1", 0.31), ("GZSL mAP", "mAP", 0.445), ("GZSL F1@3", "f1", 0.31),
    ]  # fmt: skip
    for told in (
        "# me/holidays", "Measured by `zsmld eval`", escaped("sha256:5678"), "*strict*", "the split test",
        "| mAP (95 % interval) | 23.7 (20.8–26.4) | 44.5 (20.8–26.4) | 23.7 (20.8–26.4) |",
        "| mAP of a random ranking | 6.6 | 6.6 | 6.6 |", "| F1@3 (95 % interval) | 31.0 | 31.0 | 31.0 |",
        "| labels | 10 | 10 | 10 |", "| images | 600 | 600 | 600 |", "2 images were not there",
        "- the records are not those of the last evaluation", "- test images: all of the split",
        "--model me/holidays", "zsmld pull me/holidays", f"| licence | {escaped('cc-by-4.0')} |",
    ):  # fmt: skip
        assert told in text, told
    assert "F1@5" not in text and "Not measured" not in text and "somebody" not in text


@pytest.mark.parametrize(
    "report",
    [{}, {"zsl": 3}, {"protocol": 3, "zsl": {"map": 0.5}}, {"protocol": {"ks": 3}, "zsl": {"map": "x", "intervals": 7}},
     {"protocol": {"ks": ["x"], "rules": []}, "zsl": {"map": 1, "intervals": {"map": ["a", 1]}}, "differences": None}],
)  # fmt: skip
def test_what_is_no_report_of_ours_breaks_no_card(folder, report):
    text = card(described(folder), table(), record={"settings": [], "versions": "x"}, report=report)
    assert is_own(text) and front(text)["library_name"] == "zsmld"


def test_a_control_says_so_before_all_else_and_is_ranked_nowhere(tmp_path):
    folder = make(tmp_path / "c", shuffled=True)
    files.write_json(folder / "report.json", REPORT)
    text = card_of(folder)
    assert re.search(r"---\n# A zsmld model\n\n> \*\*CONTROL, not for use\.\*\*", text)
    assert "model-index" not in front(text) and "control" in front(text)["tags"] and "23.7" in text
    told = make(tmp_path / "d", about={"CONTROL": "trained with shuffled label vectors, not for use"})
    assert "**CONTROL, not for use.**" in card_of(told)


def test_a_closed_set_model_has_a_card_of_its_kind(tmp_path):
    folder = make(tmp_path / "closed", closed=True)
    files.write_json(folder / "report.json", {**REPORT, "zsl": None, "closed_set": REPORT["zsl"] | {"accuracy@1": 0.5}})
    text = card_of(folder)
    assert front(text)["pipeline_tag"] == "image-classification" and front(text)["tags"][0] == "closed-set"
    assert "an output for each of its classes" in text and "The 6 classes" in text and "no other words" in text
    assert "--labels" not in text and "| accuracy (95 % interval) | 50.0 |" in text


def test_labels_and_names_are_text_and_never_markup(tmp_path):
    odd = (
        "</details><script>",
        "| x |",
        "[a](javascript:b)",
        "# one",
        "---",
        "![i](u)",
        "<!-- c -->",
        "@someone",
        "1. a",
    )
    folder = make(tmp_path / "odd", closed=True, seen=odd)
    files.write_json(folder / "run.json", {"settings": {"annotations": "/a/b: 'c'\n--- | <b>.jsonl"}})
    files.write_json(folder / "report.json", {**REPORT, "data": "x: {y}\n--- #'\".jsonl"})
    text = card_of(folder)
    bare = re.sub(r"\\[\\`*_{}\[\]()<>#+\-.!|~&:@$]", "", text)
    for part in ("<script", "| x |", "](javascript", "![i]", "<!-- c", "@someone", "<b>", "1. a"):
        assert part not in bare, part
    assert text.count("<details>") == text.count("</details>") == 2
    assert front(text)["model-index"][0]["results"][0]["dataset"]["name"] == "x: {y}\n--- #'\".jsonl"
    assert all(escaped(label) in text for label in odd) and is_own(text)


def test_a_card_that_a_person_edited_is_theirs(folder, capsys):
    path = folder / "README.md"
    written = path.read_text()
    files.write_json(folder / "report.json", REPORT)
    refresh_card(folder)
    assert "23.7" in path.read_text() and is_own(path.read_text())
    for edited in (written.replace("## Limits", "## My own words"), written + "more\n", "mine", written[:-5]):
        path.write_text(edited)
        assert not is_own(edited)
        refresh_card(folder)
        assert path.read_text() == edited and "was edited: it is left as it is" in capsys.readouterr().err
    path.write_bytes(b"caf\xe9")
    refresh_card(folder)
    assert path.read_bytes() == b"caf\xe9"
    # A new model in its place needs a card of its own, and that is said.
    make(folder)
    assert "README.md was edited, and is of an earlier model: it is replaced" in capsys.readouterr().err
    path.unlink()
    refresh_card(folder)
    assert is_own(path.read_text())


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("/home/a b/x.txt", "x.txt"),
        ("/home/a,b@c/x.txt", "x.txt"),
        ("/a/x.txt::words=/b/c/w.txt,/d/v.txt::array=z", "x.txt::words=w.txt,v.txt::array=z"),
        ("open_clip:ViT-B-32@/a/b.safetensors", "open_clip:ViT-B-32@b.safetensors"),
        ("open_clip:local-dir:/a/b", "open_clip:local-dir:b"),
        ("gensim:glove-wiki-gigaword-300::fallback=/a/f.bin", "gensim:glove-wiki-gigaword-300::fallback=f.bin"),
        ("words of /a/b/w.txt (sha) on its rows", "words of w.txt (sha) on its rows"),
        ("open_clip:hf-hub:org/name", "open_clip:hf-hub:org/name"),
        ("https://github.com/a/b", "https://github.com/a/b"),
        ("lr 1/2, a/b", "lr 1/2, a/b"),
        ("", ""),
    ],
)
def test_folders_are_left_out_of_texts(text, bare):
    assert without_folders(text) == bare


def test_licences_have_the_form_of_the_hubs_names():
    assert is_licence("apache-2.0") and is_licence("cc-by-nc-4.0")
    assert not any(map(is_licence, ("", "my licence", "a\nb: c", "-x", "é")))


def test_what_is_said_of_the_training_is_kept_with_the_model(folder):
    assert load_model(folder).about == {"training images": "120", "method": "decoder"}
    assert RECORD["settings"]["annotations"] not in (folder / "config.json").read_text()
    assert load_model(folder).seen == LABELS
