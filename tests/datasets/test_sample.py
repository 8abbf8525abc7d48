"""The sample workspace: its files, that they repeat, and what happens where it must not be written."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from zsmld.config import Workspace, check_keys, resolve
from zsmld.datasets import captions, drawing, words
from zsmld.datasets.sample import make_sample
from zsmld.datasets.tables import read_annotations
from zsmld.errors import UsageError
from zsmld.files import digest_file
from zsmld.settings import ALL_SETTINGS, TrainSettings

IMAGES = 24


@pytest.fixture(scope="module")
def small_corpus():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captions, "_SENTENCES", 1500)
        patch.setattr(captions, "_EPOCHS", 2)
        yield


@pytest.fixture(scope="module")
def sample(small_corpus, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "sample"
    make_sample(folder, images=IMAGES)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): digest_file(path) for path in folder.rglob("*") if path.is_file()}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_the_same_seed_gives_the_same_bytes(sample, tmp_path):
    make_sample(tmp_path / "again", images=IMAGES)
    assert digests(tmp_path / "again") == digests(sample)


def test_another_seed_gives_other_drawings_captions_and_vectors(sample, tmp_path):
    make_sample(tmp_path / "other", seed=1, images=IMAGES)
    ours, theirs = digests(sample), digests(tmp_path / "other")
    assert ours.keys() == theirs.keys()
    same = {name for name in ours if ours[name] == theirs[name]}
    assert same == {"labels.txt", "seen.txt", "unseen.txt", "any.txt", "zsmld.toml"}


def test_more_images_leave_the_first_ones_as_they_are(sample, tmp_path):
    make_sample(tmp_path / "more", images=IMAGES + 4)
    assert lines(tmp_path / "more" / "annotations.jsonl")[:IMAGES] == lines(sample / "annotations.jsonl")
    assert digests(sample / "images").items() <= digests(tmp_path / "more" / "images").items()


def test_the_largest_seed_is_taken(small_corpus, tmp_path):
    assert make_sample(tmp_path / "largest", seed=2**32 - 1, images=4).seed == 2**32 - 1


def test_the_summary_counts_what_was_written(small_corpus, tmp_path):
    summary = make_sample(tmp_path / "counted", images=10)
    dataset = read_annotations(tmp_path / "counted" / "annotations.jsonl")
    assert [record.split for record in dataset.records()].count("train") == summary.train_images == 8
    assert [record.split for record in dataset.records()].count("test") == summary.test_images == 2
    assert (len(summary.seen), len(summary.unseen)) == (40, 10)


def test_every_annotated_image_is_a_jpeg_of_one_size(sample):
    dataset = read_annotations(sample / "annotations.jsonl")
    assert len(dataset) == len(list((sample / "images").iterdir())) == IMAGES
    for path in dataset.image_paths():
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (drawing.SIDE, drawing.SIDE))


def test_annotations_tell_unseen_labels_in_both_splits(sample):
    records = [json.loads(line) for line in lines(sample / "annotations.jsonl")]
    assert {label for record in records for label in record["labels"]} <= set(lines(sample / "labels.txt"))
    for split in ("train", "test"):
        told = {label for record in records if record["split"] == split for label in record["labels"]}
        assert told & set(lines(sample / "unseen.txt"))


def test_the_extra_image_is_in_neither_split(sample):
    assert digest_file(sample / "img.jpg") not in digests(sample / "images").values()


def test_seen_and_unseen_labels_part_the_labels(sample):
    labels, seen, unseen = (lines(sample / f"{name}.txt") for name in ("labels", "seen", "unseen"))
    assert (len(labels), len(seen), len(unseen)) == (50, 40, 10)
    assert sorted(seen + unseen) == sorted(labels) == sorted(set(labels))


def test_any_txt_mixes_seen_unseen_and_new_words(sample):
    wanted = set(lines(sample / "any.txt"))
    assert wanted & set(words.SEEN)
    assert wanted & set(words.UNSEEN)
    assert wanted - set(words.LABELS)


def test_every_word_asked_for_is_in_the_corpus_and_has_a_vector(sample):
    corpus = set((sample / "captions.txt").read_text().split())
    header, *rows = lines(sample / "vectors.txt")
    vectors = {row.split(" ")[0]: row.split(" ")[1:] for row in rows}
    assert header == f"{len(vectors)} {captions.DIMENSIONS}"
    assert {len(vector) for vector in vectors.values()} == {captions.DIMENSIONS}
    for label in lines(sample / "labels.txt") + lines(sample / "any.txt"):
        assert set(label.split()) <= corpus & vectors.keys(), label


def test_gensim_reads_the_vectors(sample):
    from gensim.models import KeyedVectors

    vectors = KeyedVectors.load_word2vec_format(str(sample / "vectors.txt"))
    assert vectors["lemon"].shape == (captions.DIMENSIONS,)


def test_the_configuration_has_only_known_keys_and_names_files_that_exist(sample):
    workspace = Workspace.find(sample)
    check_keys(workspace, ALL_SETTINGS)
    settings = resolve(TrainSettings, {}, workspace, {})
    assert settings.annotations == sample / "annotations.jsonl"
    assert (settings.backbone_weights, settings.train_backbone) == ("random", True)
    assert (sample / workspace.tables["labels"]["source"]).is_file()
    assert (sample / workspace.tables["labels"]["unseen"]).is_file()


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already") as caught:
        make_sample(tmp_path, images=4)
    assert caught.value.path == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_file_or_a_broken_link_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="exists already"):
            make_sample(tmp_path / name, images=4)
    assert not (tmp_path / "nowhere").exists()


def test_an_empty_folder_is_taken(small_corpus, tmp_path):
    make_sample(tmp_path, images=4)
    assert (tmp_path / "zsmld.toml").is_file()


@pytest.mark.parametrize(("arguments", "told"), [({"images": 3}, "at least 4"), ({"seed": -1}, "0 or more")])
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, arguments, told):
    with pytest.raises(UsageError, match=told):
        make_sample(tmp_path / "sample", **arguments)
    assert not (tmp_path / "sample").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_a_run_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch, exists):
    folder = tmp_path / "sample"
    if exists:
        folder.mkdir()
    painted = []

    def interrupted(scene):
        painted.append(scene)
        if len(painted) == 3:
            raise KeyboardInterrupt
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(drawing, "paint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_sample(folder, images=8)
    assert list(tmp_path.rglob("*")) == ([folder] if exists else [])


def test_drawings_hold_nothing_that_changes_from_run_to_run(sample):
    data = (sample / "img.jpg").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
