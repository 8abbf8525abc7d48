"""NUS-WIDE written as its publishers give it: the words of `seen` are tags, those of `unseen` are concepts."""

from pathlib import Path

OTHER_TRUTH = "0"


def publish(root, records, seen, unseen, *, halves=False, suffix=".txt", ending="\r\n", shared=1):
    """Lists, ground truth and tags, as one table for all images or as one for each half.

    `shared` of the concepts are among the tags as well, as 75 of NUS-WIDE's 81 are; no image has those tags.
    """
    for folder in ("ImageList", "Groundtruth/AllLabels", "Groundtruth/TrainTestLabels", "NUS_WID_Tags", "ConceptsList"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    train, test = ([record for record in records if record.split == split] for split in ("train", "test"))
    # Tags are not in alphabetical order, and concepts stand among them.
    tags = [*seen[:1], *unseen[:shared], *seen[1:]]
    write_lines(root / "NUS_WID_Tags/TagList1k.txt", tags, ending)
    write_lines(root / "ConceptsList/Concepts81.txt", unseen, ending)
    everything = [record for pair in interleaved(train, test) for record in pair]
    for name, part in (("Image", everything), ("TrainImage", train), ("TestImage", test)):
        write_lines(root / f"ImageList/{name}list.txt", [windows(record.image) for record in part], ending)
    tables = [("Train", train), ("Test", test)] if halves else [("All", everything)]
    for name, part in tables:
        for word in unseen:
            where = f"TrainTestLabels/Labels_{word}_{name}.txt" if halves else f"AllLabels/Labels_{word}.txt"
            write_lines(root / "Groundtruth" / where, [str(int(word in record.labels)) for record in part], ending)
        table = f"{name}{'_' if halves else ''}Tags1k{suffix}"
        rows = ["".join(f"{value}\t" for value in tag_row(record, tags, unseen)) for record in part]
        write_lines(root / "NUS_WID_Tags" / table, rows, ending)
        # What people tagged with the concepts' words: another truth.
        other = [" ".join(OTHER_TRUTH for _ in unseen) for _ in part]
        write_lines(root / "NUS_WID_Tags" / table.replace("1k", "81"), other, ending)
    return root


def tag_row(record, tags, unseen):
    return [OTHER_TRUTH if tag in unseen else int(tag in record.labels) for tag in tags]


def interleaved(first, second):
    """Training and test images stand mixed in the list of all."""
    pairs = list(zip(first, second, strict=False))
    rest = [*first[len(pairs) :], *second[len(pairs) :]]
    return [(b, a) for a, b in pairs] + [(record,) for record in rest]


def windows(image):
    return image.replace("/", "\\")


def write_lines(path: Path, lines, ending="\n"):
    path.write_bytes("".join(f"{line}{ending}" for line in lines).encode())
