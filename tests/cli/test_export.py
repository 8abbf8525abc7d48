"""`zsmld export` as a person meets it."""

import onnxruntime


def test_figures_are_told_and_what_exists_stays(zsmld):
    path = zsmld.folder / "new" / "head.onnx"
    arguments = ("export", "--model", "runs/latest", "--part", "head", "--output", str(path))
    outcome = zsmld(*arguments)
    assert (outcome.code, outcome.stdout) == (0, "")
    lines = outcome.stderr.splitlines()
    assert lines[0].startswith("exporting the head of ") and lines[0].endswith("runs/latest")
    assert lines[1].startswith("onnxruntime against PyTorch, batches of 1, 2 and 5, 1, 49 and 196 tokens: ")
    assert [line.split(":")[0] for line in lines[2:5]] == ["  1 label", "  81 labels", "  1006 labels"]
    assert lines[5:] == [f"{path}: {path.stat().st_size / 1e6:.1f} MB"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["tokens", "label_embeddings"]
    assert [each.name for each in path.parent.iterdir()] == ["head.onnx"]

    before = path.read_bytes()
    again = zsmld(*arguments)
    assert (again.code, again.stdout, len(again.errors)) == (2, "", 1)
    assert path.read_bytes() == before


def test_it_is_called_model_onnx_and_lands_in_the_current_folder(zsmld):
    (zsmld.folder / "model.onnx").touch()
    assert "model.onnx: exists already" in zsmld("export").errors[0]
    assert zsmld("export", "--part", "tail").code == 2
    absent = zsmld("export", "--model", "runs/absent", "--force")
    assert (absent.code, len(absent.errors)) == (3, 1)
