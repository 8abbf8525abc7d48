"""`push`, `pull`, `convert`, and names on the hub in the place of folders, through the real command line."""

import json
from pathlib import Path

import pytest
from hub_server import TOKEN
from huggingface_hub import constants

# The client's own way of sending files is one that its library has come to dislike.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ME = "me/holidays"
PREDICT = ("predict", "photos/0.jpg", "--labels", "any.txt", "--model")


@pytest.fixture
def pushed(zsmld, hub):
    """The finished run, evaluated and pushed."""
    assert zsmld("eval", "--gzsl").code == 0
    told = zsmld("push", "runs/latest", ME, "--licence", "apache-2.0")
    assert (told.code, told.stdout) == (0, f"{hub.url}/{ME}\n")
    return {name: data for name, data in hub.repositories[ME].files.items() if name != ".gitattributes"}


def test_a_model_that_was_pushed_is_pulled_and_says_the_same(zsmld, workspace, hub, pushed):
    assert set(pushed) == {
        "config.json", "model.safetensors", "labels.safetensors", "README.md", "run.json", "report.json",
        "probabilities.json",
    }  # fmt: skip
    assert not any(str(workspace).encode() in data for data in pushed.values())
    told = zsmld("pull", ME)
    assert told.code == 0 and told.stderr.endswith("written: holidays\n")
    assert {path.name: path.read_bytes() for path in Path("holidays").iterdir()} == pushed
    here = zsmld(*PREDICT, "runs/001")
    for model in (ME, f"hf:{ME}", f"{ME}@main", "holidays"):
        told = zsmld(*PREDICT, model)
        assert told.code == 0 and told.stdout == here.stdout, model
    again = zsmld("pull", ME)
    assert again.code == 2 and "holidays: exists already. Add --force" in again.errors[0]
    assert zsmld("pull", ME, "--force", "--quiet").stderr == ""


def test_another_process_with_the_hubs_own_variables_does_the_same(zsmld, hub, pushed, tmp_path):
    here = zsmld(*PREDICT, "runs/001").stdout
    zsmld.environment |= {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }  # fmt: skip
    told = zsmld.process(*PREDICT, ME)
    assert (told.code, told.stdout) == (0, here)


def test_an_evaluation_leaves_its_figures_on_the_card(zsmld, workspace, pushed):
    card = (workspace / "runs/001/README.md").read_text()
    assert "Measured by `zsmld eval`" in card and "| mAP (95 % interval) |" in card and str(workspace) not in card
    assert "model-index" in pushed["README.md"].decode() and "license: apache-2.0" in pushed["README.md"].decode()
    (workspace / "runs/001/README.md").write_text("mine")
    assert "README.md was edited" in zsmld("eval").stderr
    assert (workspace / "runs/001/README.md").read_text() == "mine"


def test_models_of_the_hub_are_evaluated_and_compared_and_not_written_to(zsmld, workspace, hub, pushed):
    cache = Path(constants.HF_HUB_CACHE)
    own = json.loads(zsmld("eval", "--gzsl", "--json").stdout)
    (workspace / "zsmld.toml").write_text("")  # it names the data, and so does no model that comes from elsewhere
    told = zsmld("eval", "--gzsl", "--model", ME)
    assert told.code == 2 and "no annotations given" in told.errors[0]
    before = {path for path in cache.rglob("*") if path.is_file()}
    given = ("--annotations", "annotations.jsonl", "--unseen", "unseen.txt", "--gzsl", "--json", "--model", ME)
    told = zsmld("eval", *given)
    report = json.loads(told.stdout)
    assert report["zsl"] == own["zsl"] and report["model"] == ME and "the report is not kept" in told.stderr
    assert {path for path in cache.rglob("*") if path.is_file()} == before
    assert zsmld("eval", *given, "--report", "r").code == 0 and Path("r/report.json").exists()
    told = zsmld("short-list", "photos", "--labels", "any.txt", "--model", ME)
    assert told.code == 2 and "lies in the hub's cache" in told.errors[0]
    told = zsmld("compare", "runs/001", ME, "--unseen", "unseen.txt", "--json", "--resamples", "0")
    assert [row["name"] for row in json.loads(told.stdout)["rows"]] == ["runs/001", ME]


def test_a_pulled_folder_asks_for_the_data_of_this_machine(zsmld, workspace, pushed):
    assert zsmld("pull", ME).code == 0
    (workspace / "zsmld.toml").write_text("")
    told = zsmld("eval", "--gzsl", "--model", "holidays")
    assert told.code == 2 and "no annotations given" in told.errors[0] and "repeating" not in told.stderr
    given = ("--annotations", "annotations.jsonl", "--unseen", "unseen.txt")
    assert zsmld("eval", "--gzsl", "--model", "holidays", *given).code == 0
    # Its report is of this machine now.
    assert "repeating the evaluation" in zsmld("eval", "--model", "holidays").stderr


def test_a_name_may_stand_in_the_configuration(zsmld, workspace, pushed):
    text = (workspace / "zsmld.toml").read_text()
    (workspace / "zsmld.toml").write_text(text + f'\n[predict]\nmodel = "{ME}"\n')
    told = zsmld(*PREDICT[:-1])
    assert told.code == 0 and f"for {ME}" in told.stderr


def test_a_dry_run_lists_what_would_be_sent(zsmld, hub):
    told = zsmld("push", "runs/latest", ME, "--dry-run")
    names = [line.split()[-1] for line in told.stdout.splitlines()]
    assert told.code == 0 and sorted(names) == [
        "README.md",
        "config.json",
        "labels.safetensors",
        "model.safetensors",
        "probabilities.json",
        "run.json",
    ]
    assert hub.asked == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("push", "runs/latest", "holidays"), 2, "'holidays' is no name on the hub, expected ORG/NAME"),
        (("push", "runs/0001", ME), 3, "runs/0001: no such model folder"),
        (("push", "open_clip:ViT-B-32@openai", ME), 2, "open_clip:... names CLIP as it was published"),
        (("push", "runs/latest", "them/x"), 5, "the hub refuses them/x: 403"),
        (("pull", "me/absent"), 3, "me/absent is neither a folder here nor a model of the hub"),
        (("pull", "../x"), 2, "is no name on the hub"),
        ((*PREDICT, "hf:holidays"), 2, "'hf:holidays' is no name on the hub"),
        ((*PREDICT, "runs/0001"), 3, "runs/0001: no such model folder"),
        ((*PREDICT, "me/absent"), 3, "me/absent is neither a folder here nor a model of the hub"),
    ],
)
def test_what_goes_wrong_is_told_in_one_line(zsmld, hub, arguments, code, told):
    hub.refuses.add("them")
    outcome = zsmld(*arguments)
    assert outcome.code == code and len(outcome.errors) == 1 and told in outcome.errors[0]


def test_without_network_or_token_it_is_told_what_to_do(zsmld, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "")
    told = zsmld("push", "runs/latest", ME)
    assert told.code == 5 and "`hf auth login`" in told.errors[0] and "HF_TOKEN" in told.errors[0]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for arguments in (("push", "runs/latest", ME), ("pull", ME), (*PREDICT, ME)):
        told = zsmld(*arguments)
        assert told.code == 5 and "HF_HUB_OFFLINE is set" in told.errors[0]


def test_a_checkpoint_is_converted(zsmld, workspace):
    import timm
    import torch

    import zsmld as library

    torch.manual_seed(0)
    tower = timm.create_model("test_resnet", num_classes=0)
    head = library.MLDecoder(tower.num_features, label_features=8, width=16, heads=8, feed_forward=16)
    torch.save(tower.state_dict() | published(head), "c.pth")
    Path("zsmld.toml").unlink()
    convert = ("convert", "c.pth", "--seen", "seen.txt", "--backbone", "timm:test_resnet", "--output", "converted")
    told = zsmld(*convert, "--image-size", "32")
    assert told.code == 0 and told.stderr.endswith("/converted\n")
    assert zsmld(*PREDICT, "converted", "--source", "vectors.txt").code == 0
    told = zsmld(*convert)
    assert told.code == 2 and "exists already" in told.errors[0]
    data = Path("c.pth").read_bytes()
    Path("c.pth").write_bytes(data[: len(data) // 2])
    told = zsmld(*convert, "--force")
    assert told.code == 3 and "c.pth" in told.errors[0] and Path("converted/config.json").exists()


def published(head):
    """The tensors of a head of ours under the published names."""
    import torch

    own, layer = head.state_dict(), "decoder.layers.0"
    names = {
        "embed_tokens": "decoder.embed_standart", "queries.projection": "wordvec_proj",
        "layer.query_norm": f"{layer}.norm1", "layer.attention_norm": f"{layer}.norm2",
        "layer.feed_forward_norm": f"{layer}.norm3", "layer.expand": f"{layer}.linear1",
        "layer.contract": f"{layer}.linear2", "layer.attention.output": f"{layer}.multihead_attn.out_proj",
    }  # fmt: skip
    parts = ("weight", "bias")
    state = {f"{theirs}.{part}": own[f"{ours}.{part}"] for ours, theirs in names.items() for part in parts}
    for part in parts:
        three = [own[f"layer.attention.{name}.{part}"] for name in ("query", "key", "value")]
        state[f"{layer}.multihead_attn.in_proj_{part}"] = torch.cat(three)
    state["decoder.duplicate_pooling"] = own["readout.linear.weight"].T
    state["decoder.duplicate_pooling_bias"] = own["readout.linear.bias"]
    return {f"fc.{name}": tensor for name, tensor in state.items()}
