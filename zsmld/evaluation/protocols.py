"""The rules of a figure, as declared objects: ours, and those of the papers that figures are compared with.

Each rule of another's protocol was read off its published code; docs/protocols.md says where. What a rule says in a
report stands here too, so that no report can leave one out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from zsmld.errors import UsageError, nearest
from zsmld.evaluation.metrics import Ties

Images = Literal["all", "with a positive"]
EmptyLabels = Literal["left out", "zero"]
Order = Literal["seen first", "unseen first"]
Normalisation = Literal["none", "unit length", "softmax"]
Unknown = Literal["left out", "wrong in the top K"]

_TOLD: dict[str, dict[str, str]] = {
    "images": {
        "all": "all of the split, also those without any of the labels",
        "with a positive": "those with at least one true label of the set that is scored",
    },
    "empty_labels": {
        "left out": "labels without a positive image have no part in the mean, and are counted",
        "zero": "labels without a positive image count as average precision 0; those that are unknown of every image "
        "have no part in the mean",
    },
    "image_ties": {
        "grouped": "images of equal score enter together: the order of files has no say",
        "earlier first": "of images of equal score the earlier file ranks higher",
        "later first": "of images of equal score the later file ranks higher",
    },
    "label_ties": {
        "grouped": "labels that tie at place K share what is left: the order of labels has no say",
        "earlier first": "of labels of equal score the earlier column ranks higher",
        "later first": "of labels of equal score the later column ranks higher",
    },
    "order": {"seen first": "seen, then unseen", "unseen first": "unseen, then seen"},
    "normalisation": {
        "none": "none: a label's score does not depend on the other labels",
        "unit length": "the scores of an image, over the labels of the set, are divided by their length",
        "softmax": "softmax over the labels of the set",
    },
    "unknown": {
        "left out": "neither right nor wrong: left out of the ranking of the label, and of that of the image",
        "wrong in the top K": "left out of the ranking of the label; wrong where it is in the top K of an image",
    },
}
_TITLES = {
    "images": "test images", "truth": "truth", "min_positives": "fewest positives", "empty_labels": "empty labels",
    "image_ties": "ties of images", "label_ties": "ties of labels", "order": "columns in GZSL", "ks": "K",
    "averaging": "averages", "normalisation": "scores of an image", "unknown": "unknown labels",
    "model_choice": "choice of the model",
}  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """Which images and labels count, and how.

    Attributes:
        name: what the report calls it.
        about: whose rules these are.
        source: where they were read.
        images: which test images are kept.
        empty_labels: what labels without a positive image count.
        image_ties, label_ties: how equal scores are ranked, in average precision and in the top K.
        order: which labels' columns come first in GZSL: it matters where ties are broken by column.
        normalisation: of scores across the labels of an image.
        unknown: what becomes of labels of which it is unknown whether they are true (partial labels).
        ks: the K of precision, recall and F1.
        min_positives: labels with fewer positive images, but with one, have no part in the mean.
        truth: what is taken for true. It is the data set's to follow; the report says it beside the digests.
        model_choice: how the published model was picked. It is not for an evaluation to follow.
    """

    name: str = "strict"
    about: str = "zsmld's own, the default"
    source: str = ""
    images: Images = "all"
    empty_labels: EmptyLabels = "left out"
    image_ties: Ties = "grouped"
    label_ties: Ties = "grouped"
    order: Order = "seen first"
    normalisation: Normalisation = "none"
    unknown: Unknown = "left out"
    ks: tuple[int, ...] = (3, 5)
    min_positives: int = 1
    averaging: str = "mAP macro over labels; precision, recall and F1 micro, over all images"
    truth: str = "the annotations of the data set"
    model_choice: str = "on validation images of the seen labels; no test image, no unseen label"

    @property
    def per_set(self) -> bool:
        """Whether a label's average precision depends on the set (ZSL, GZSL) that it is scored in."""
        return self.images != "all" or self.normalisation != "none"

    def rules(self) -> dict[str, str]:
        """Every rule in words, by title."""
        told = {}
        for key, title in _TITLES.items():
            value = getattr(self, key)
            told[title] = _TOLD[key][value] if key in _TOLD else _plain(value)
        return told

    def to_json(self) -> dict[str, Any]:
        """The rules as JSON values, and in words."""
        return asdict(self) | {"ks": list(self.ks), "rules": self.rules()}


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


_NUS_TRUTH = (
    "NUS-WIDE: the human annotation (AllLabels) of the 81 unseen labels, also where a tag of the same word exists; "
    "tags for the 925 seen ones"
)
_CODE = "https://github.com/"

STRICT = Protocol()
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        STRICT,
        replace(
            STRICT, name="filtered", images="with a positive",
            about="strict, but on images with a true label only: what leaving the others out is worth",
        ),
        Protocol(
            name="lesa", about="LESA (Huynh & Elhamifar, CVPR 2020)",
            source=_CODE + "hbdat/cvpr20_LESA/blob/e40a7f2/core/utils.py",
            empty_labels="zero", label_ties="later first", order="unseen first", unknown="wrong in the top K",
            truth=_NUS_TRUTH,
            model_choice="best F1 of the unseen labels on 5,000 training images that have them annotated",
        ),
        Protocol(
            name="biam", about="BiAM (Narayan et al., ICCV 2021)",
            source=_CODE + "akshitac8/BiAM/blob/4e391f1/util_nus.py",
            empty_labels="zero", image_ties="earlier first", label_ties="earlier first",
            unknown="wrong in the top K", truth=_NUS_TRUTH,
            model_choice="best F1@5 of the seen labels on a fifth of the training images, or every epoch tested",
        ),
        Protocol(
            name="mkt", about="MKT (He et al., AAAI 2023)",
            source=_CODE + "sunanhe/MKT/blob/8db956d/engine_nus_second_stage.py",
            empty_labels="zero", image_ties="earlier first", label_ties="earlier first",
            normalisation="unit length", unknown="wrong in the top K", truth=_NUS_TRUTH,
            model_choice="every epoch is tested on the test images, the choice is the reader's",
        ),
        Protocol(
            name="mldecoder", about="ML-Decoder (Ridnik et al., WACV 2023)",
            source=_CODE + "Alibaba-MIIL/ML_Decoder/blob/8a9e984/train_zsl_nus.py",
            images="with a positive", empty_labels="zero", image_ties="later first", label_ties="earlier first",
            unknown="wrong in the top K", truth=_NUS_TRUTH,
            model_choice="best epoch on the test images, and there the better of trained and averaged weights",
        ),
        Protocol(
            name="open-images", about="Open Images v4 as BiAM evaluates it: 7,186 seen and 400 unseen labels",
            source=_CODE + "akshitac8/BiAM/blob/4e391f1/evaluate_openimages.py",
            images="with a positive", empty_labels="zero", image_ties="earlier first", label_ties="earlier first",
            unknown="wrong in the top K", ks=(10, 20),
            averaging="mAP macro over labels, and weighted by their positives; precision, recall and F1 micro",
            truth="Open Images: verified labels; a label that nobody verified is unknown, and a label that nobody "
            "verified on any image takes no part at all",
            model_choice="two models, one best for ZSL and one for GZSL; how they were chosen the code does not say",
        ),
    )
}  # fmt: skip


def protocol_named(name: str, *, min_positives: int = 1) -> Protocol:
    """The protocol of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROTOCOLS:
        raise UsageError(
            f"{name!r} is no protocol, expected one of {', '.join(PROTOCOLS)}", remedy=nearest(name, PROTOCOLS)
        )
    return replace(PROTOCOLS[name], min_positives=min_positives)
