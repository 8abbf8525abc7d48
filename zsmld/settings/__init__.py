"""What every command can be told: one frozen dataclass a command, declared once for flag, variable and file."""

from zsmld.settings.common import (
    DEFAULT_EMBEDDINGS,
    DEFAULT_MODEL,
    DataSettings,
    DeviceSettings,
    PrecisionSettings,
    SourceSettings,
)  # fmt: skip
from zsmld.settings.convert import ConvertSettings
from zsmld.settings.data import DataCheckSettings, DataConvertSettings, SampleSettings
from zsmld.settings.evaluate import CompareSettings, EvalSettings, MeasureSettings
from zsmld.settings.hub import PullSettings, PushSettings
from zsmld.settings.labels import CheckSettings, EmbedSettings
from zsmld.settings.predict import PredictSettings, ShortListSettings, WordsSettings
from zsmld.settings.recipes import RECIPES, Recipe
from zsmld.settings.train import TrainSettings

__all__ = [
    "ALL_SETTINGS", "DEFAULT_EMBEDDINGS", "DEFAULT_MODEL", "RECIPES", "CheckSettings", "CompareSettings",
    "ConvertSettings", "DataCheckSettings", "DataConvertSettings", "DataSettings", "DeviceSettings",
    "EmbedSettings", "EvalSettings", "MeasureSettings", "PrecisionSettings", "PredictSettings", "PullSettings",
    "PushSettings", "Recipe", "SampleSettings", "ShortListSettings", "SourceSettings", "TrainSettings",
    "WordsSettings",
]  # fmt: skip

ALL_SETTINGS = (
    DataCheckSettings, DataConvertSettings, EmbedSettings, CheckSettings, TrainSettings, EvalSettings, CompareSettings,
    PredictSettings, ShortListSettings, SampleSettings, PushSettings, PullSettings, ConvertSettings,
)  # fmt: skip
