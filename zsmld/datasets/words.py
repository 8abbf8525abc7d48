"""The words of the generated sample: what its labels are called and how people speak of them.

An object label is a kind of thing in a colour (a lemon is a round fruit, yellow). The ten unseen labels are
combinations that no seen label has, of a kind and a colour that seen labels have: what zero-shot transfer needs,
and what an honest text corpus tells.
"""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Colour:
    """A colour: how it is drawn, and the words people use for it."""

    paint: RGB
    words: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """A kind of thing: its nouns, what it looks like, what it has, and what it does (`{}` is a lone verb phrase)."""

    nouns: tuple[str, ...]
    looks: tuple[str, ...]
    parts: tuple[str, ...]
    acts: tuple[str, ...]


@dataclass(frozen=True)
class Thing:
    """An object label: its name, its family (a key of `FAMILIES`) and its colour (a key of `COLOURS`)."""

    name: str
    family: str
    colour: str


COLOURS = {
    "red": Colour((214, 36, 36), ("red", "red", "scarlet", "crimson")),
    "orange": Colour((247, 134, 18), ("orange", "orange", "amber")),
    "yellow": Colour((250, 221, 30), ("yellow", "yellow", "golden")),
    "green": Colour((44, 160, 52), ("green", "green", "emerald")),
    "blue": Colour((38, 84, 214), ("blue", "blue", "azure")),
    "purple": Colour((136, 44, 168), ("purple", "purple", "mauve")),
    "white": Colour((246, 246, 242), ("white", "white", "ivory")),
    "black": Colour((32, 32, 38), ("black", "black", "ebony")),
}

FAMILIES = {
    "fruit": Family(
        ("fruit", "fruit", "berry"),
        ("round", "ripe", "juicy", "sweet"),
        ("stalk", "peel", "pip", "skin"),
        ("rolls away", "ripens", "hangs from a twig", "lies in a bowl"),
    ),
    "vegetable": Family(
        ("vegetable", "vegetable", "root"),
        ("long", "crunchy", "raw", "crisp"),
        ("tip", "leafy top", "rind", "end"),
        ("is peeled", "is chopped for soup", "grows in a garden", "lies on a board"),
    ),
    "bird": Family(
        ("bird", "bird", "songbird"),
        ("feathered", "chirping", "winged", "singing"),
        ("beak", "wing", "tail feather", "plume"),
        ("sings", "flies past", "spreads its wings", "sits on a perch", "builds a nest"),
    ),
    "flower": Family(
        ("flower", "flower", "blossom"),
        ("fragrant", "blooming", "scented", "fresh"),
        ("petal", "stem", "bud", "bloom"),
        ("blooms", "opens its petals", "stands in a vase", "nods in a bouquet"),
    ),
    "fish": Family(
        ("fish", "fish", "swimmer"),
        ("scaly", "slippery", "gilled", "finned"),
        ("fin", "gill", "scale", "tail fin"),
        ("swims", "glides through a tank", "darts after a worm", "takes the hook"),
    ),
    "vehicle": Family(
        ("vehicle", "vehicle", "motor"),
        ("parked", "wheeled", "speeding", "rumbling"),
        ("wheel", "door", "windscreen", "bumper"),
        ("drives by", "turns at a corner", "brakes", "waits with its engine on"),
    ),
    "boat": Family(
        ("boat", "boat", "vessel"),
        ("floating", "anchored", "moored", "sailing"),
        ("hull", "mast", "sail", "deck"),
        ("sails along", "lies at anchor", "leaves its harbour", "drifts"),
    ),
}

THINGS = tuple(
    Thing(name, family, colour)
    for family, names in {
        "fruit": "tomato:red tangerine:orange lemon:yellow lime:green blueberry:blue plum:purple",
        "vegetable": "chilli:red carrot:orange sweetcorn:yellow cucumber:green aubergine:purple parsnip:white",
        "bird": "cardinal:red canary:yellow parakeet:green kingfisher:blue dove:white crow:black",
        "flower": "rose:red marigold:orange sunflower:yellow cornflower:blue crocus:purple daisy:white",
        "fish": "snapper:red goldfish:orange angelfish:yellow tuna:blue",
        "vehicle": "fire_truck:red taxi:yellow tractor:green ambulance:white limousine:black",
        "boat": "lifeboat:orange dinghy:yellow trawler:blue yacht:white gondola:black",
    }.items()
    for name, colour in (pair.replace("_", " ").split(":") for pair in names.split())
)

# What is said of where, when and in what weather; `day` and `clear` are no labels, every other key is one.
GROUNDS = {
    "beach": ("on a sandy beach", "on the warm sand of a beach", "at the beach beside palms"),
    "sea": ("out on the sea", "on the waves of the open sea", "between waves at sea"),
    "forest": ("in a dense forest", "between the trunks of a forest", "in a forest of tall firs"),
    "desert": ("in a dry desert", "among the dunes of a desert", "beside a cactus in the desert"),
    "city": ("in a busy city", "in front of the towers of a city", "in a city of tall houses"),
    "meadow": ("in a grassy meadow", "on the grass of a meadow", "in a meadow below a hill"),
}
TIMES = {
    "day": ("at noon", "by day", "in the afternoon"),
    "sunset": ("at sunset", "under a glowing sunset", "as sunset ends a long day"),
    "night": ("at night under the stars", "on a dark night", "in the moonlight of a quiet night"),
}
WEATHERS = {
    "clear": ("", "", "under a clear sky"),
    "fog": ("in thick fog", "while fog hides the hills", "in mist and fog"),
    "rain": ("in the rain", "while rain pours from dark clouds", "in heavy rain under an umbrella"),
    "snow": ("while snow falls", "as flakes of snow drift down", "in cold snow and frost"),
    "thunderstorm": (
        "in a thunderstorm with pouring rain",
        "as a thunderstorm pours from dark clouds",
        "in a heavy thunderstorm under an umbrella",
    ),
}

SCENE_LABELS = tuple(key for table in (GROUNDS, TIMES, WEATHERS) for key in table if key not in ("day", "clear"))
UNSEEN = (
    "lemon", "lime", "carrot", "cardinal", "cornflower", "sunflower", "goldfish", "ambulance", "trawler",
    "thunderstorm",
)  # fmt: skip
LABELS = tuple(sorted((*(thing.name for thing in THINGS), *SCENE_LABELS)))
SEEN = tuple(label for label in LABELS if label not in UNSEEN)
# What `any.txt` holds: seen labels, unseen ones, and words of the corpus that are no label at all.
ANY = (
    "lemon", "cardinal", "trawler", "sunflower", "taxi", "tomato", "daisy", "sea", "sunset", "night",
    "bird", "boat", "fruit", "flower", "red", "yellow", "wheel", "umbrella",
)  # fmt: skip
