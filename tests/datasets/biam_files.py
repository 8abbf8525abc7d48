"""BiAM's files: names pickled, features and labels in HDF5, an array an image, gzipped."""

import pickle

import h5py
import numpy as np
from nus_wide_files import write_lines


def publish(root, records, seen, unseen, features, *, minus=False, test_width="both"):
    """`features` gives the tokens (T,C) of a record; the files of the lists lie as in BiAM's repository."""
    folder = root / "NUS-WIDE"
    (folder / "features").mkdir(parents=True)
    for place in ("ConceptsList", "NUS_WID_Tags"):
        (folder / place).mkdir()
    write_lines(folder / "ConceptsList/Concepts81.txt", unseen)
    write_lines(folder / "NUS_WID_Tags/TagList1k.txt", [*seen[:1], *unseen[:1], *seen[1:]])
    parts = (("train", "img_names.pkl", "nus_wide_train.h5"), ("test", "test_img_names.pkl", "nus_wide_test.h5"))
    for split, names, file in parts:
        part = [record for record in records if record.split == split]
        wide = split == "test" and test_width == "both"
        write_part(folder / "features" / file, part, seen, unseen, features, minus=minus, wide=wide)
        (folder / names).write_bytes(pickle.dumps({"img_names": [name_of(record) for record in part]}))
    return root


def name_of(record):
    return record.image.replace("/", "_")


def write_part(path, records, seen, unseen, features, *, minus, wide):
    false = -1 if minus else 0
    with h5py.File(path, "w") as file:
        for record in records:
            tags, concepts = ([1 if word in record.labels else false for word in words] for words in (seen, unseen))
            arrays = {
                "features": np.ascontiguousarray(features(record).T, np.float32),
                "labels": np.int8([*tags, *concepts] if wide else tags),
                "labels_81": np.int8(concepts),
            }
            for key, array in arrays.items():
                file.create_dataset(f"{name_of(record)}-{key}", data=array, compression="gzip")
