import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import zsmld
from zsmld import files
from zsmld.errors import InputError, UsageError
from zsmld.labels.distances import FEWEST_SEEN, FEWEST_TO_CENTRE
from zsmld.labels.doctor import check_labels, split_lists
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.findings import KINDS, Examination, Finding
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.labels.sources import Manner, embed_labels
from zsmld.labels.vocabulary import canonical, read_vocabulary

WIDTH = 32


def table_of(labels, vectors):
    record = SourceRecord(source="made", digest="sha256:0", kind="word_vectors", width=vectors.shape[1])
    return LabelEmbeddings(
        tuple(labels), np.asarray(vectors, np.float32), ("whole",) * len(labels), Provenance((record,))
    )


def random_table(count=200, seed=0):
    """Labels with vectors that have nothing to do with each other, off centre as those of a text tower are."""
    vectors = np.random.default_rng(seed).normal(size=(count, 4 * WIDTH)) + 5
    return [f"word{number:03}q" for number in range(count)], vectors


def written(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def names(examination):
    return {finding.kind.name for finding in examination.findings}


def found(examination, kind):
    return [finding for finding in examination.findings if finding.kind.name == kind]


# Lists.


def test_every_faulty_line_is_found_and_the_others_are_examined(tmp_path):
    lines = ["dog", "# x", "Dog", "a\tb", "cat", "CAT", "x" * 201, "__", "cat"]
    path = written(tmp_path / "labels.txt", lines)
    examination, table = check_labels(path)
    assert table is None
    assert examination.labels == ("dog", "cat")
    faults = found(examination, "faulty-line")
    assert [int(fault.place.rpartition(":")[2]) for fault in faults] == [3, 4, 6, 7, 8, 9]
    assert all(fault.place.startswith(str(path)) for fault in faults)
    with pytest.raises(InputError) as caught:
        read_vocabulary(path)
    assert (caught.value.problem, caught.value.line) == (faults[0].told, 3)


def test_places_are_short_below_the_current_folder(tmp_path, monkeypatch):
    written(tmp_path / "labels.txt", ["dog", "dog"])
    monkeypatch.chdir(tmp_path)
    (fault,) = check_labels(tmp_path / "labels.txt")[0].findings
    assert fault.place == "labels.txt:2"


def test_a_file_of_faults_only_is_told_and_an_empty_one_refused(tmp_path):
    examination, _ = check_labels(written(tmp_path / "labels.txt", ["a\tb", "__"]))
    assert examination.labels == () and examination.count("error") == 2
    with pytest.raises(InputError, match="holds no label"):
        check_labels(written(tmp_path / "labels.txt", ["# nothing"]))
    with pytest.raises(InputError, match="no labels given"):
        check_labels([])
    with pytest.raises(InputError, match="is one text"):
        check_labels("dog")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no label file"):
        check_labels()


def test_labels_in_both_lists_are_unseen_and_told_with_both_lines(tmp_path):
    seen = written(tmp_path / "seen.txt", ["sky", "dog", "Sea"])
    unseen = written(tmp_path / "unseen.txt", ["sea", "map"])
    examination, _ = check_labels(seen=seen, unseen=unseen)
    assert (examination.seen, examination.unseen) == (("sky", "dog"), ("sea", "map"))
    (both,) = found(examination, "in-both")
    assert both.labels == ("Sea",) and both.place == f"{seen}:3" and both.told == f"unseen at {unseen}:1"
    assert examination.overlap == (
        "1 of 3 seen labels are unseen too; 1 of 2 unseen ones are not ('map'); parted: 2 seen + 2 unseen = 4"
    )
    assert check_labels(seen=["sky"], unseen=["map"])[0].overlap == ""


def test_seen_and_unseen_labels_that_the_list_of_all_lacks(tmp_path):
    everything = written(tmp_path / "labels.txt", ["dog", "polar bear"])
    unseen = written(tmp_path / "unseen.txt", ["wolf", "Polar_Bear"])
    examination, _ = check_labels(everything, seen=["dog"], unseen=unseen)
    (lacking,) = found(examination, "not-listed")
    assert lacking.labels == ("wolf",) and lacking.place == f"{unseen}:1"
    assert examination.labels == ("dog", "polar bear", "wolf")


def test_the_split_is_written_whole_or_not_at_all(tmp_path):
    seen = written(tmp_path / "a.txt", ["sky", "dog", "Sea"])
    unseen = written(tmp_path / "b.txt", ["sea", "map"])
    paths = split_lists(seen, unseen, tmp_path / "split", force=False)
    assert [path.name for path in paths] == ["seen.txt", "unseen.txt", "labels.txt"]
    assert [read_vocabulary(path).labels for path in paths] == [
        ("sky", "dog"), ("sea", "map"), ("sky", "dog", "sea", "map"),
    ]  # fmt: skip
    paths[0].unlink()
    with pytest.raises(UsageError, match="exists already"):
        split_lists(seen, unseen, tmp_path / "split", force=False)
    assert not paths[0].exists()
    split_lists(seen, unseen, tmp_path / "split", force=True)
    assert paths[0].exists()
    with pytest.raises(InputError, match=r"a\.txt:2"):
        split_lists(written(tmp_path / "a.txt", ["sky", "SKY"]), unseen, tmp_path / "other", force=False)
    assert not (tmp_path / "other").exists()


def test_a_split_that_leaves_no_seen_label_is_refused(tmp_path):
    path = written(tmp_path / "a.txt", ["sky"])
    with pytest.raises(InputError, match="no seen label"):
        split_lists(path, path, tmp_path / "split", force=False)
    assert not (tmp_path / "split").exists()


# Twins.


def test_twins_need_no_vectors():
    examination, _ = check_labels(seen=["Dogs", "dance", "polar bears", "sea"], unseen=["dog", "dancing", "Polar_Bear"])
    assert {finding.labels for finding in found(examination, "twins")} == {
        ("dog", "Dogs"), ("dancing", "dance"), ("Polar_Bear", "polar bears"),
    }  # fmt: skip
    assert all(finding.kind.severity == "warning" for finding in examination.findings)
    assert not check_labels(["dog", "dogs"])[0].findings
    # Found from the longer word only: rules, which know no dictionary, take "horses" for the plural of "hors" too.
    assert names(check_labels(seen=["hors"], unseen=["horses"])[0]) == {"twins"}
    assert names(check_labels(seen=["horses"], unseen=["hors"])[0]) == {"twins"}


@given(st.lists(st.text("abdgins", min_size=2, max_size=6), unique_by=canonical, min_size=2, max_size=12))
def test_twins_are_all_pairs_that_are_related(words):
    seen, unseen = words[: len(words) // 2], words[len(words) // 2 :]
    examination, _ = check_labels(seen=seen, unseen=unseen)
    from zsmld.labels.word_forms import form_relation

    related = {(label, twin) for label, twin in itertools.product(unseen, seen) if form_relation(label, twin)}
    assert {finding.labels for finding in found(examination, "twins")} == related


# Vectors.


def test_unrelated_vectors_give_no_finding_but_the_farthest():
    labels, vectors = random_table()
    examination, table = check_labels(seen=labels[:150], unseen=labels[150:], embeddings=table_of(labels, vectors))
    assert table is not None and len(table) == 200
    assert names(examination) <= {"far"}
    assert examination.thresholds["synonyms"] == examination.thresholds["hard-to-tell"] == 0.5
    assert len(examination.nearest_seen) == 50 and all(len(near) == 3 for near in examination.nearest_seen.values())


def test_identical_vectors_and_odd_lengths(tmp_path):
    labels, vectors = random_table()
    vectors[7] = 1.0001 * vectors[3]
    vectors[9], vectors[11] = vectors[9] / 20, vectors[11] * 20
    path = written(tmp_path / "labels.txt", labels)
    table_of(labels, vectors).save(tmp_path / "e.safetensors")
    examination, _ = check_labels(path, embeddings=tmp_path / "e.safetensors")
    (same,) = found(examination, "identical-vectors")
    assert same.labels == (labels[3], labels[7]) and same.figure == pytest.approx(1)
    odd = {finding.labels[0]: finding.figure for finding in found(examination, "odd-length")}
    assert odd == {labels[9]: pytest.approx(0.05, rel=0.3), labels[11]: pytest.approx(20, rel=0.3)}
    assert same.place == f"{path}:4"


def test_labels_with_the_same_vector_do_not_make_the_others_look_far():
    labels, vectors = random_table()
    plain, _ = check_labels(seen=labels[:150], unseen=labels[150:], embeddings=table_of(labels, vectors))
    copies = [f"{label}copy" for label in labels]
    doubled, _ = check_labels(
        seen=[*labels[:150], *copies[:150]],
        unseen=labels[150:],
        embeddings=table_of([*labels, *copies], np.concatenate([vectors, vectors])),
    )
    assert len(found(doubled, "identical-vectors")) == 150
    assert doubled.thresholds["far"] == pytest.approx(plain.thresholds["far"], abs=0.02)


def related_table():
    """A space with two synonyms across the line, two labels hard to tell apart, and one far from all."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, WIDTH))
    vectors = np.repeat(centres, 5, axis=0) + 0.9 * random.normal(size=(200, WIDTH))
    labels = [f"word{number:03}q" for number in range(200)]
    vectors[160] = vectors[3] + 0.2 * random.normal(size=WIDTH)
    vectors[12] = vectors[11] + 0.1 * random.normal(size=WIDTH)
    others = np.linalg.svd(vectors - vectors.mean(axis=0))[2][-1]
    vectors[170] = vectors.mean(axis=0) + 8 * others
    return labels, vectors


def test_synonyms_far_and_hard_to_tell_against_another_computation():
    labels, vectors = related_table()
    table = table_of(labels, vectors)
    examination, _ = check_labels(seen=labels[:150], unseen=labels[150:], embeddings=table)
    centred = table.vectors.astype(np.float64) - table.vectors.mean(axis=0, dtype=np.float64)
    cosines = 1 - cdist(centred, centred, "cosine")
    np.fill_diagonal(cosines, -1)
    nearest, seen_nearest = cosines.max(axis=1), cosines[:150, :150].max(axis=1)
    across = cosines[150:, :150]
    synonym, far, hard = np.quantile(nearest, 0.8), np.quantile(seen_nearest, 0.05), np.quantile(nearest, 0.98)
    assert examination.thresholds == {
        "synonyms": pytest.approx(synonym), "far": pytest.approx(far), "hard-to-tell": pytest.approx(hard),
    }  # fmt: skip
    pairs = {(labels[150 + row], labels[at]) for row, at in zip(*np.nonzero(across >= synonym), strict=True)}
    assert {finding.labels for finding in found(examination, "synonyms")} == pairs
    assert found(examination, "synonyms")[0].labels == ("word160q", "word003q")
    lonely = {labels[150 + row] for row in np.flatnonzero(across.max(axis=1) < far)}
    assert {finding.labels[0] for finding in found(examination, "far")} == lonely
    assert found(examination, "far")[0].labels == ("word170q",)
    close = {(labels[a], labels[b]) for a, b in zip(*np.nonzero(np.triu(cosines) >= hard), strict=True)}
    assert {finding.labels for finding in found(examination, "hard-to-tell")} == close
    assert ("word011q", "word012q") in close
    for label, near in examination.nearest_seen.items():
        row = across[labels.index(label) - 150]
        assert [each for each, _ in near] == [labels[at] for at in np.argsort(-row)[:3]]
        assert [cosine for _, cosine in near] == pytest.approx(sorted(row, reverse=True)[:3])


def test_a_twin_is_no_synonym_besides():
    labels, vectors = related_table()
    labels[160], labels[3] = "dogs", "dog"
    examination, _ = check_labels(seen=labels[:150], unseen=labels[150:], embeddings=table_of(labels, vectors))
    (twin,) = found(examination, "twins")
    assert twin.labels == ("dogs", "dog") and twin.figure is not None
    assert twin.figure > examination.thresholds["synonyms"]
    assert "dogs" not in {finding.labels[0] for finding in found(examination, "synonyms")}


@pytest.mark.parametrize("change", [lambda v: v + 7, lambda v: 100 * v, lambda v: v @ np.linalg.qr(v[:WIDTH])[0]])
def test_where_a_space_lies_and_how_it_is_turned_changes_nothing(change):
    labels, vectors = related_table()
    plain, moved = (
        check_labels(seen=labels[:150], unseen=labels[150:], embeddings=table_of(labels, each))[0]
        for each in (vectors, change(vectors))
    )
    for kind in ("synonyms", "far", "hard-to-tell"):
        assert {f.labels for f in found(plain, kind)} == {f.labels for f in found(moved, kind)} != set()


def test_few_labels_are_not_judged_by_distance():
    labels, vectors = related_table()
    few = labels[: FEWEST_TO_CENTRE - 1]
    examination, _ = check_labels(few, embeddings=table_of(labels, vectors))
    assert "49 labels have vectors, 50 are needed" in examination.unjudged
    assert not examination.findings and not examination.thresholds
    seen = labels[: FEWEST_SEEN - 1]
    examination, _ = check_labels(seen=seen, unseen=labels[50:], embeddings=table_of(labels, vectors))
    assert "19 seen labels have vectors, 20 are needed" in examination.unjudged
    assert set(examination.thresholds) == {"hard-to-tell"} and not examination.nearest_seen


def test_tables_of_one_vector_and_of_one_number_are_no_trouble():
    labels = [f"word{number}q" for number in range(60)]
    examination, _ = check_labels(labels, embeddings=table_of(labels, np.ones((60, 4))))
    assert {f.labels for f in examination.findings} == set(itertools.combinations(labels, 2))
    assert names(examination) == {"identical-vectors"}
    narrow = np.linspace(1, 2, 60)[:, None]
    assert names(check_labels(labels, embeddings=table_of(labels, narrow))[0]) == {"hard-to-tell"}


def test_a_shuffled_control_is_refused():
    labels, vectors = random_table(60)
    with pytest.raises(InputError, match="shuffled control"):
        check_labels(labels, embeddings=table_of(labels, vectors).shuffled(0))


# Sources.


def test_how_labels_are_found_in_a_source(tmp_path):
    words = ["dog", "polar", "bear", "airplane", "sea"]
    rows = np.random.default_rng(0).normal(size=(len(words), 6))
    text = [f"{word} " + " ".join(f"{number:.4f}" for number in row) for word, row in zip(words, rows, strict=True)]
    source = written(tmp_path / "vectors.txt", text)
    path = written(tmp_path / "labels.txt", ["dog", "polar bear", "aeroplane", "seas", "polar plane", "犬"])
    examination, table = check_labels(path, source=source, manner=Manner(forms=True))
    assert table is not None and table.labels == ("dog", "polar bear", "seas")
    told = {finding.labels[0]: finding for finding in examination.findings}
    assert (told["aeroplane"].kind.name, told["aeroplane"].place) == ("no-vector", f"{path}:3")
    assert "nearest: airplane" in told["aeroplane"].told
    assert "no 'plane'" in told["polar plane"].told and told["犬"].kind.severity == "error"
    assert (told["polar bear"].kind.name, told["polar bear"].told) == ("composed", "polar + bear")
    assert (told["seas"].kind.name, told["seas"].told) == ("other-form", "sea (singular)")
    assert "dog" not in told and examination.source == str(source)
    nothing, table = check_labels(["x", "y"], source=source)
    assert table is None and nothing.count("error") == 2


def test_labels_that_the_embeddings_lack(tmp_path):
    labels, vectors = random_table(60)
    path = written(tmp_path / "labels.txt", [*labels, "Whale"])
    examination, table = check_labels(path, embeddings=table_of(labels, vectors))
    (lacking,) = examination.findings
    assert (lacking.kind.name, lacking.labels, lacking.place) == ("no-vector", ("Whale",), f"{path}:61")
    assert table is not None and len(table) == 60


# What is told.


def test_findings_come_by_severity_whatever_found_them(tmp_path):
    labels, vectors = random_table(60)
    seen, unseen = [*labels[:50], "dog"], [*labels[50:], "dogs", labels[0]]
    path = written(tmp_path / "seen.txt", [*seen, "DOG"])
    examination, _ = check_labels(labels, seen=path, unseen=unseen, embeddings=table_of(labels, vectors))
    told = [finding.kind.name for finding in examination.findings if finding.kind.name != "far"]
    assert told == ["faulty-line", "in-both", "no-vector", "no-vector", "not-listed", "not-listed", "twins"]


def test_lines_are_cut_counted_and_in_order_of_severity():
    findings = [Finding(kind, (f"l{number}",), "t", 0.5, "f:1") for kind in KINDS for number in range(14)]
    lines = Examination(labels=("a",), findings=tuple(findings), unjudged="why").lines()
    heads = [line for line in lines if re.match("ERROR|WARNING|NOTE", line)]
    assert [line.split()[1] for line in heads] == [kind.name for kind in KINDS]
    assert [line.split()[0] for line in heads] == sorted(
        (line.split()[0] for line in heads), key=["ERROR", "WARNING", "NOTE"].index
    )
    assert sum(line.strip() == "and 2 more, all with --json" for line in lines) == len(KINDS)
    assert sum(line.startswith("    l") for line in lines) == 12 * len(KINDS)
    counts = [14 * sum(kind.severity == severity for kind in KINDS) for severity in ("error", "warning", "note")]
    assert lines[-1] == "{} errors, {} warnings, {} notes".format(*counts)
    assert "distances not judged: why" in lines


def test_columns_stand_below_one_another_in_every_script():
    finding = [Finding(KINDS[0], (label,), "told", None, "f:1") for label in ("dog", "北極熊", "a" * 60)]
    _, _, _, _, dog, bear, long = Examination(labels=(), findings=tuple(finding)).lines()[:7]
    assert dog == f"    dog{' ' * 45}  told  f:1" and bear == f"    北極熊{' ' * 42}  told  f:1"
    assert long == f"    {'a' * 60}  told  f:1"


def test_json_holds_everything_and_one_is_one():
    labels, vectors = related_table()
    examination, _ = zsmld.check_labels(seen=labels[:150], unseen=labels[150:], embeddings=table_of(labels, vectors))
    told = json.loads(files.to_json(examination.to_json()))
    assert len(told["findings"]) == len(examination.findings)
    assert told["labels"] == 200 and told["errors"] == 0 and told["notes"] + told["warnings"] == len(told["findings"])
    assert set(told["nearest_seen"]) == set(labels[150:])
    assert {"kind", "severity", "labels", "told", "figure"} == told["findings"][0].keys()
    assert check_labels(["dog", "DOG"])[0].lines()[-1] == "1 error, 0 warnings, 0 notes"


# NUS-WIDE.


@pytest.fixture(scope="module")
def nus_wide(shared_data):
    lists = shared_data / "nus_wide"
    tags, concepts = ((lists / name).read_text().split("\n") for name in ("TagList1k.txt", "Concepts81.txt"))
    tags, concepts = ([line.strip() for line in each if line.strip()] for each in (tags, concepts))
    examination, table = check_labels(
        seen=lists / "TagList1k.txt",
        unseen=lists / "Concepts81.txt",
        source=shared_data / "vectors" / "glove_nus_wide_1006.300d.txt.gz",
    )
    return examination, table, tags, concepts


@pytest.mark.realdata
def test_nus_wide_comes_to_925_and_81(nus_wide, shared_data, tmp_path):
    examination, _, tags, concepts = nus_wide
    assert (len(examination.labels), len(examination.seen), len(examination.unseen)) == (1006, 925, 81)
    assert {f.labels[0] for f in found(examination, "in-both")} == set(tags) & set(concepts)
    assert examination.overlap == (
        "75 of 1000 seen labels are unseen too; 6 of 81 unseen ones are not "
        "('computer', 'fire', 'map', 'swimmers', 'tattoo', 'whales'); parted: 925 seen + 81 unseen = 1006"
    )
    lists = shared_data / "nus_wide"
    paths = split_lists(lists / "TagList1k.txt", lists / "Concepts81.txt", tmp_path, force=False)
    seen = [tag for tag in tags if tag not in concepts]
    assert [path.read_text().splitlines() for path in paths] == [seen, concepts, seen + concepts]


@pytest.mark.realdata
def test_nus_wide_has_the_known_twins_and_four_more(nus_wide):
    examination, _, tags, concepts = nus_wide
    seen = set(tags) - set(concepts)
    simple = {
        label
        for label in concepts
        if any(f"{a}{end}" == b for end in ("s", "es", "ing") for tag in seen for a, b in ((label, tag), (tag, label)))
    }
    assert len(simple) == 31
    twins = {finding.labels for finding in found(examination, "twins")}
    others = {(label, twin) for label, twin in twins if label not in simple}
    assert {label for label, _ in twins} >= simple
    assert others == {("leaf", "leaves"), ("dancing", "dance"), ("running", "run"), ("person", "people")}


@pytest.mark.realdata
def test_nus_wide_has_one_pair_of_identical_vectors_in_glove(nus_wide):
    examination, table, _, _ = nus_wide
    (same,) = found(examination, "identical-vectors")
    assert set(same.labels) == {"interesting", "interestingness"}
    _, counts = np.unique(table.vectors, axis=0, return_counts=True)
    assert sorted(counts)[-2:] == [1, 2]


@pytest.mark.realdata
def test_nus_wide_synonyms_and_far_labels_against_another_computation(nus_wide):
    examination, table, tags, concepts = nus_wide
    seen = [tag for tag in tags if tag not in concepts]
    centred = table.vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    row = {label: at for at, label in enumerate(table.labels)}
    unseen_rows, seen_rows = [row[label] for label in concepts], [row[label] for label in seen]
    across = 1 - cdist(centred[unseen_rows], centred[seen_rows], "cosine")
    for at, label in enumerate(concepts):
        order = np.argsort(-across[at])[:3]
        assert [near for near, _ in examination.nearest_seen[label]] == [seen[each] for each in order]
    far = {concepts[at] for at in np.flatnonzero(across.max(axis=1) < examination.thresholds["far"])}
    assert {finding.labels[0] for finding in found(examination, "far")} == far == {"rainbow", "frost", "fox"}
    synonyms = {finding.labels for finding in found(examination, "synonyms")}
    assert {("plane", "airplane"), ("railroad", "railway"), ("soccer", "football")} <= synonyms
    assert all(across[concepts.index(a), seen.index(b)] >= examination.thresholds["synonyms"] for a, b in synonyms)


@pytest.mark.realdata
@pytest.mark.parametrize("split", range(5))
def test_spaces_of_any_kind_are_judged_by_the_same_measure(shared_data, split):
    words = np.load(shared_data / "vectors" / "clip_vit_b32_text_1608.512d.npz")
    clip = embed_labels(
        list({canonical(word): word for word in map(str, words["words"])}.values())[split::5],
        source=shared_data / "vectors" / "clip_vit_b32_text_1608.512d.npz",
        missing="skip",
    )
    seen, unseen = clip.labels[: len(clip) // 2], clip.labels[len(clip) // 2 :]
    examination, _ = check_labels(seen=seen, unseen=unseen, embeddings=clip)
    assert 0.01 * len(unseen) <= len(found(examination, "far")) <= 0.12 * len(unseen)
    assert len({finding.labels[0] for finding in found(examination, "synonyms")}) <= 0.25 * len(unseen)
