"""Measure the decoder in inference: rearranged (`head.for_inference`), plain (`layer.py`), and as published.

Two comparisons. Zero-shot: against `layer.py`, and against the published computation, every query through the layer for
every image, and the readout in a loop over labels. Closed-set with a query a class: against timm's head, called through
its layer, as its `TransformerDecoder` fails on this PyTorch. Contenders take turns; ratios are medians of the rounds'.

--grid full takes all of N in 1 to 21,000, T in 1 to 576, B in 1, 8 and 32 against `layer.py` alone, with the memory
that each needs above what is given and what is returned (Linux), and draws how both grow.

    python scripts/bench_inference.py [--grid head|full] [--rounds 7] [--threads 2] [--device cpu] [--dtype float32]
        [--compile] [--plots FOLDER]
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import itertools
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm
import torch
from svg_plot import Panel, draw
from timing import in_turns, ratio
from timm.layers.ml_decoder import MLDecoder as TimmDecoder
from torch import Tensor

from zsmld import MLDecoder
from zsmld.decoder import inference
from zsmld.decoder.readout import SharedReadout

C, E, D, F, H = 2048, 300, 768, 2048, 8
HEAD = [(925, 49, 1), (925, 49, 8), (5_000, 49, 1), (21_000, 49, 1)]
FULL = list(itertools.product((1, 20, 81, 925, 5_000, 21_000), (1, 49, 196, 576), (1, 8, 32)))
# Images × labels beyond which the plain layer gets its images in parts: it keeps more than fits into memory at once.
MOST = 42_000
# And beyond which there is one round: it takes up to a minute.
LARGE = 2 * MOST
Contenders = dict[str, Callable[[], Tensor]]


def main() -> None:
    """Print a Markdown table for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", choices=("head", "full"), default="head")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--compile", action="store_true", help="torch.compile of layer.py as one more contender")
    parser.add_argument("--plots", type=Path, help="folder for inference.svg")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    machine = torch.cuda.get_device_name() if arguments.device != "cpu" else f"{arguments.threads} threads"
    print(f"{platform.machine()}, {machine}, torch {torch.__version__}, timm {timm.__version__}, D {D}, F {F}, H {H}\n")
    with torch.inference_mode():
        if arguments.grid == "full":
            whole_grid(arguments)
        else:
            compiled = "| x compiled " if arguments.compile else ""
            titles = f"| N | T | B | ms | x plain | x published {compiled}| form | arithmetic | largest difference |"
            print(titles + "\n" + "|---" * (titles.count("|") - 1) + "|")
            for sizes in HEAD:
                print(zero_shot(*sizes, arguments), flush=True)
            print("\n| N | T | B | ms | x timm | largest difference |\n" + "|---" * 6 + "|")
            for sizes in HEAD[:2]:
                print(closed_set(*sizes, arguments.rounds, arguments.device), flush=True)


def zero_shot(queries: int, tokens: int, images: int, arguments: argparse.Namespace) -> str:
    """A row: the zero-shot head against `layer.py` and the published computation."""
    device, dtype = arguments.device, getattr(torch, arguments.dtype)
    head = MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F).to(device)
    as_if_trained(head)
    words, x = torch.randn(queries, E, device=device), torch.randn(images, tokens, C, device=device, dtype=dtype)
    score = head.for_inference(words, None if dtype == torch.float32 else dtype)
    plain, given = copy.deepcopy(head).to(dtype), words.to(dtype)
    contenders: Contenders = {"ours": lambda: score(x), "plain": lambda: plain(x, given)}
    layer = timm_layer(plain)
    contenders["published"] = lambda: published(plain, layer, x, given)
    if arguments.compile:
        compiled = torch.compile(plain)
        contenders["compiled"] = lambda: compiled(x, given)
    difference = max((contender() - contenders["plain"]()).abs().max().item() for contender in contenders.values())
    seconds, rate = measured(contenders, arguments.rounds, device, dtype)
    form = "direct" if dtype == torch.float16 else inference.cheapest_form(queries, tokens, D, F, H)
    multiplied = images * (inference.multiplications(queries, tokens, D, F, H)[form] + tokens * C * D)
    done = 2 * multiplied / statistics.median(seconds["ours"]) / rate
    ratios = " | ".join(ratio(seconds, name, "ours") for name in seconds if name != "ours")
    return (
        f"| {queries} | {tokens} | {images} | {1e3 * statistics.median(seconds['ours']):.1f} | {ratios} | {form} | "
        f"{done:.0%} | {difference:.0e} |"
    )


def whole_grid(arguments: argparse.Namespace) -> None:
    """A row for each point, against `layer.py`; and the plots."""
    print("| N | T | B | form | ms | x plain | MiB | plain, MiB | largest difference |\n" + "|---" * 9 + "|")
    found: dict[tuple[int, int, int], dict[str, tuple[float, float]]] = {}
    head = MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F).to(arguments.device)
    as_if_trained(head)
    for queries, tokens, images in FULL:
        words = torch.randn(queries, E, device=arguments.device)
        x = torch.randn(images, tokens, C, device=arguments.device)
        score = head.for_inference(words)
        score(x[:1])  # what depends on the vocabulary alone
        at_once = max(MOST // queries, 1)
        contenders: Contenders = {
            "ours": partial(score, x),
            "plain": lambda x=x, words=words, at_once=at_once: torch.cat(  # type: ignore[misc]
                [head(part, words) for part in torch.split(x, at_once)]
            ),
        }
        if queries * images > LARGE:
            seconds, needs, difference = once(contenders)
        else:
            seconds, _ = measured(contenders, arguments.rounds, arguments.device)
            _, needs, difference = once(contenders)
        found[queries, tokens, images] = {
            name: (1e3 * statistics.median(seconds[name]), needs[name]) for name in contenders
        }
        form, own = inference.cheapest_form(queries, tokens, D, F, H), 1e3 * statistics.median(seconds["ours"])
        print(
            f"| {queries} | {tokens} | {images} | {form} | {own:.1f} | {ratio(seconds, 'plain', 'ours')} | "
            f"{needs['ours']:.0f} | {needs['plain']:.0f} | {difference:.0e} |", flush=True,
        )  # fmt: skip
    if arguments.plots is not None:
        (arguments.plots / "inference.svg").write_text(draw(growth(found), columns=3), "utf-8")


def growth(found: dict[tuple[int, int, int], dict[str, tuple[float, float]]]) -> list[Panel]:
    """Time and memory against N, T and B, the other two held."""
    held = {
        0: ("N (T 49, B 8)", (None, 49, 8)),
        1: ("T (N 925, B 8)", (925, None, 8)),
        2: ("B (N 925, T 49)", (925, 49, None)),
    }
    panels = []
    for figure, title in enumerate(("ms", "MiB above input and output")):
        for axis, (label, wanted) in held.items():
            series: dict[str, list[tuple[float, float]]] = {"rearranged (for_inference)": [], "plain (layer.py)": []}
            for sizes, values in found.items():
                if all(own == size for own, size in zip(wanted, sizes, strict=True) if own is not None):
                    for name, key in zip(series, ("ours", "plain"), strict=True):
                        series[name].append((sizes[axis], values[key][figure]))
            panels.append(Panel(f"{title} against {label[0]}", label, title, series))
    return panels


def once(contenders: Contenders) -> tuple[dict[str, list[float]], dict[str, float], float]:
    """One call of each: seconds, MiB that it added at the highest (0 but on Linux), and their largest difference."""
    peak = Path("/proc/self/clear_refs")
    seconds, needs, logits = {}, {}, {}
    for name, contender in contenders.items():
        before = 0.0
        if peak.exists():
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            peak.write_text("5")  # the highest so far is forgotten
            before = status("VmRSS")
        began = time.perf_counter()
        logits[name] = contender()
        seconds[name] = [time.perf_counter() - began]
        output = logits[name].numel() * logits[name].element_size() / 2**20
        needs[name] = max(status("VmHWM") - before - output, 0.0) if peak.exists() else 0.0
    ours, plain = logits.values()
    return seconds, needs, (ours - plain).abs().max().item()


def status(key: str) -> float:
    """MiB of the memory of this process, by the name that Linux has for it."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(key))
    return int(line.split()[1]) / 1024


def closed_set(queries: int, tokens: int, images: int, rounds: int, device: str) -> str:
    """A row: a closed-set head with a query a class against timm's, which has the same weights."""
    peer = TimmDecoder(queries, num_of_groups=queries, initial_num_features=C).to(device)
    as_if_trained(peer)
    state = {key if key.startswith("decoder.") else f"decoder.{key}": value for key, value in peer.state_dict().items()}
    head = MLDecoder.from_published(state).to(device)
    score, x = head.for_inference(), torch.randn(images, tokens, C, device=device)
    contenders: Contenders = {"ours": lambda: score(x), "timm": lambda: through_its_layer(peer, x)}
    difference = (contenders["ours"]() - contenders["timm"]()).abs().max().item()
    seconds, _ = measured(contenders, rounds, device)
    ours = 1e3 * statistics.median(seconds["ours"])
    return f"| {queries} | {tokens} | {images} | {ours:.1f} | {ratio(seconds, 'timm', 'ours')} | {difference:.0e} |"


def as_if_trained(head: torch.nn.Module) -> None:
    """Let nothing be 0 or 1."""
    for parameter in head.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    head.eval()


def timm_layer(head: MLDecoder) -> torch.nn.Module:
    """timm's decoder layer with the weights of ours."""
    peer = TimmDecoder(1, num_of_groups=1, initial_num_features=C).decoder.layers[0].eval()
    ours, attention = head.layer, head.layer.attention
    projections = (attention.query, attention.key, attention.value)
    state = {
        "multihead_attn.in_proj_weight": torch.cat([projection.weight for projection in projections]),
        "multihead_attn.in_proj_bias": torch.cat([projection.bias for projection in projections]),
    }
    renamed = {
        "multihead_attn.out_proj": attention.output, "linear1": ours.expand, "linear2": ours.contract,
        "norm1": ours.query_norm, "norm2": ours.attention_norm, "norm3": ours.feed_forward_norm,
    }  # fmt: skip
    for name, module in renamed.items():
        state |= {f"{name}.{part}": value for part, value in module.state_dict().items()}
    peer.load_state_dict(state)
    layer: torch.nn.Module = peer.to(attention.output.weight.device, attention.output.weight.dtype)
    return layer


def published(head: MLDecoder, layer: torch.nn.Module, tokens: Tensor, words: Tensor) -> Tensor:
    """Every query through the layer for every image, and the readout in a loop over labels."""
    memory = torch.relu(head.embed_tokens(tokens)).transpose(0, 1)
    queries = head.queries_of(words).unsqueeze(1).expand(-1, len(tokens), -1)
    decoded = layer(queries, memory).transpose(0, 1)
    assert isinstance(head.readout, SharedReadout)
    weight, bias = head.readout.linear.weight.T, head.readout.linear.bias
    logits = torch.zeros(len(tokens), len(words), 1, device=tokens.device, dtype=tokens.dtype)
    for at in range(len(words)):
        logits[:, at, :] = torch.matmul(decoded[:, at, :], weight)
    return logits.flatten(1) + bias


def through_its_layer(peer: TimmDecoder, tokens: Tensor) -> Tensor:
    """timm's forward, but for the container around its layer."""
    layer = peer.decoder.layers[0]
    memory = torch.relu(peer.embed_standart(tokens)).transpose(0, 1)
    decoded = layer(peer.query_embed.weight.unsqueeze(1).expand(-1, len(tokens), -1), memory).transpose(0, 1)
    logits = torch.zeros(len(tokens), decoded.shape[1], peer.duplicate_factor, device=tokens.device)
    for at in range(decoded.shape[1]):
        logits[:, at, :] = torch.matmul(decoded[:, at, :], peer.duplicate_pooling[at])
    with_bias: Tensor = logits.flatten(1)[:, : peer.num_classes] + peer.duplicate_pooling_bias
    return with_bias


def measured(
    contenders: Contenders, rounds: int, device: str, dtype: torch.dtype = torch.float32
) -> tuple[dict[str, list[float]], float]:
    """Seconds of each contender by round, and the rate of a large matrix product in the same rounds."""
    a, b = (torch.randn(2048, 2048, device=device, dtype=dtype) for _ in range(2))
    seconds = in_turns({**contenders, "product": lambda: a @ b}, rounds, device, unused=0)
    rate = 2 * 2048**3 / statistics.median(seconds.pop("product"))
    return seconds, rate


if __name__ == "__main__":
    main()
