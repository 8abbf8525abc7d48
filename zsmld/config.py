"""Settings: declared once as dataclass fields, given by flag, variable, `zsmld.toml` or default.

A field declared with `setting(..., section="train")` and named `epochs` is the flag `--epochs`, the variable
`ZSMLD_EPOCHS`, and the key `epochs` in the table `[train]` of `zsmld.toml`. Precedence in that order, the
default last. Paths in `zsmld.toml` are relative to its folder, all others to the current one.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zsmld import files
from zsmld.errors import InputError, UsageError, nearest
from zsmld.hub_names import model_name

FILE_NAME = "zsmld.toml"

S = TypeVar("S")


def setting(
    default: Any,
    text: str,
    *,
    section: str,
    minimum: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] | None = None,
    flag: str | None = None,
    may_be_path: bool = False,
    may_be_on_hub: bool = False,
    complete: str | None = None,
    negated: str | None = None,
) -> Any:
    """Declare one setting: its default, help text, table in `zsmld.toml`, and what values are admitted.

    A text that `may_be_path` and names a file beside the `zsmld.toml` that it stands in means that file; so do parts
    of it (`_placed`). A path that `may_be_on_hub` stays as it is where it names a model there. `complete` is what the
    shell completes its values with, `negated` the flag that switches off what is true or false.
    """
    metadata = {
        "text": text, "section": section, "minimum": minimum, "below": below, "choices": choices, "flag": flag,
        "may_be_path": may_be_path, "may_be_on_hub": may_be_on_hub, "complete": complete, "negated": negated,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def flag_of(field: dataclasses.Field[Any]) -> str:
    """The command-line flag of a setting: `--its-name` unless declared otherwise."""
    return field.metadata["flag"] or f"--{field.name.replace('_', '-')}"


def value_type(settings: type, name: str) -> tuple[type, bool]:
    """The scalar type of a setting (`Path`, `str`, `int`, `float`, `bool`) and whether it is a list of them."""
    hint = typing.get_type_hints(settings)[name]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    return hint, False


@dataclass(frozen=True)
class Workspace:
    """A folder with an optional `zsmld.toml`, found from the current folder upward.

    Attributes:
        folder: where relative defaults (`runs/`, `embeddings.safetensors`) live.
        path: the `zsmld.toml`, if there is one.
        tables: its content, table by table.
    """

    folder: Path
    path: Path | None = None
    tables: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """Look for `zsmld.toml` in `start` (the current folder) and its parents; without one, `start` it is."""
        start = (start or Path.cwd()).absolute()
        for folder in (start, *start.parents):
            path = folder / FILE_NAME
            if os.path.lexists(path):
                return cls(folder, path, _read_tables(path))
        return cls(start)

    def line_of(self, section: str, key: str | None = None) -> int | None:
        """The line of `[section]`, or of `key` in it; None where it cannot be told (inline tables)."""
        if self.path is None:
            return None
        inside = None
        for number, line in enumerate(files.read_text(self.path).splitlines(), start=1):
            if header := re.match(r"\s*\[+\s*([\w.-]+)\s*\]+", line):
                inside = header[1]
                if key is None and inside == section:
                    return number
            elif inside == section and key is not None and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
        return None


def _read_tables(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(files.read_text(path))
    except tomllib.TOMLDecodeError as error:
        # The parser's own words end in "(at line 3, column 5)"; the line belongs in front.
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        problem = re.sub(r"\s*\(at .*\)", "", str(error)).lower()
        line = int(found[1]) if found else None
        raise UsageError(f"is not TOML: {problem}", path=path, line=line) from error
    except InputError as error:
        raise UsageError(error.problem, path=path, line=error.line, remedy=error.remedy) from error
    except (RecursionError, ValueError) as error:
        raise UsageError(
            "is not TOML that can be read: nested too deeply, or a number is too long", path=path
        ) from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{name!r} stands outside a table, expected one like [train]", path=path)
    return tables


def known_keys(settings: tuple[type, ...]) -> dict[str, set[str]]:
    """Every key of every table that the given settings classes declare."""
    known: dict[str, set[str]] = {}
    for each in settings:
        for field in dataclasses.fields(each):
            known.setdefault(field.metadata["section"], set()).add(field.name)
    return known


def check_keys(workspace: Workspace, settings: tuple[type, ...]) -> None:
    """Refuse tables and keys of `zsmld.toml` that no command knows, with the nearest name that one does."""
    known = known_keys(settings)
    for section, table in workspace.tables.items():
        if section not in known:
            raise UsageError(
                f"unknown table [{section}], expected one of {', '.join(f'[{name}]' for name in sorted(known))}",
                path=workspace.path, line=workspace.line_of(section), remedy=nearest(section, known),
            )  # fmt: skip
        for key in table:
            if key not in known[section]:
                raise UsageError(
                    f"unknown key {key!r} in [{section}], expected one of {', '.join(sorted(known[section]))}",
                    path=workspace.path, line=workspace.line_of(section, key), remedy=nearest(key, known[section]),
                )  # fmt: skip


def resolve(
    settings: type[S],
    flags: Mapping[str, Any],
    workspace: Workspace,
    environment: Mapping[str, str] | None = None,
) -> S:
    """Build `settings` from flag > `ZSMLD_*` variable > `zsmld.toml` > default.

    A relative default path is relative to the workspace.

    Args:
        settings: a frozen dataclass whose fields were declared with `setting`.
        flags: values by field name; None and empty tuples count as not given.
        workspace: where relative paths and file values come from.
        environment: the variables, those of the process by default.

    Raises:
        UsageError: a value of the wrong type or out of its range, named by where it was given.
    """
    environment = os.environ if environment is None else environment
    chosen: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        section, variable = field.metadata["section"], f"ZSMLD_{field.name.upper()}"
        flag = flags.get(field.name)
        if flag is not None and flag != ():
            chosen[field.name] = _checked(settings, field, flag, UsageError(flag_of(field)), Path.cwd())
        elif environment.get(variable):
            raw: Any = environment[variable]
            if value_type(settings, field.name)[1]:
                raw = tuple(raw.split(","))
            chosen[field.name] = _checked(settings, field, raw, UsageError(variable), Path.cwd())
        elif field.name in workspace.tables.get(section, {}):
            line = workspace.line_of(section, field.name)
            origin_error = UsageError(field.name, path=workspace.path, line=line)
            raw = workspace.tables[section][field.name]
            chosen[field.name] = _checked(settings, field, raw, origin_error, workspace.folder)
        elif isinstance(field.default, Path):
            chosen[field.name] = workspace.folder / field.default
    return settings(**_presets(settings, chosen) | chosen)


def _presets(settings: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """What stands between what was given and the defaults: settings may declare a classmethod `presets`."""
    presets = getattr(settings, "presets", None)
    return {} if presets is None else dict(presets(given))


def given(settings: Any, name: str) -> Path:
    """The path of a setting that cannot be done without.

    Raises:
        UsageError: it is not given.
    """
    path: Path | None = getattr(settings, name)
    if path is None:
        raise UsageError(f"no {name} given", remedy=f"Give --{name} FILE, or set it in zsmld.toml.")
    return path


def build(settings: type[S], values: Mapping[str, Any]) -> S:
    """Build `settings` from keyword arguments of the Python API: unknown names refused, values checked."""
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise UsageError(f"unknown setting {name!r}", remedy=nearest(name, fields))
    given = {
        name: _checked(settings, fields[name], value, UsageError(name), Path.cwd())
        for name, value in values.items()
        if value is not None
    }
    return settings(**_presets(settings, given) | given)


def _checked(settings: type, field: dataclasses.Field[Any], raw: Any, origin: UsageError, folder: Path) -> Any:
    """`raw` as the field's type; `origin` is an error that already names the flag or the line."""
    scalar, is_list = value_type(settings, field.name)
    if is_list:
        parts = raw if isinstance(raw, (list, tuple)) else [raw]
        return tuple(_checked_scalar(scalar, field, part, origin, folder) for part in parts)
    return _checked_scalar(scalar, field, raw, origin, folder)


def _checked_scalar(scalar: type, field: dataclasses.Field[Any], raw: Any, origin: UsageError, folder: Path) -> Any:
    def refuse(expected: str) -> UsageError:
        shown = repr(str(raw) if isinstance(raw, Path) else raw)
        return UsageError(f"{origin.problem}: {shown} is not {expected}", path=origin.path, line=origin.line)

    if scalar is Path:
        if not isinstance(raw, (str, Path)) or not str(raw):
            raise refuse("a path")
        if field.metadata["may_be_on_hub"] and model_name(str(raw), folder):
            return Path(raw)
        return folder / files.expanded(raw)
    if field.metadata["may_be_path"] and isinstance(raw, str):
        raw = _placed(raw, folder)
    expected, value = _converted(scalar, raw)
    if value is None:
        raise refuse(expected)
    rules = field.metadata
    if rules["minimum"] is not None and value < rules["minimum"]:
        raise refuse(f"at least {rules['minimum']:g}")
    if rules["below"] is not None and value >= rules["below"]:
        raise refuse(f"below {rules['below']:g}")
    if rules["choices"] and value not in rules["choices"]:
        raise refuse(f"one of {', '.join(rules['choices'])}")
    return value


def _placed(text: str, folder: Path) -> str:
    """`text` with the files of `folder` that it names made whole paths: all of it, or its parts between the signs of
    the `--source` grammar (`FILE::words=FILE,FILE`, `open_clip:MODEL@FILE`)."""
    if _exists(folder / text):
        return str(folder / text)
    parts = re.split(r"(::(?:\w+=)?|,|@|local-dir:)", text)
    # Separators stand at the odd places.
    parts[::2] = [str(folder / part) if part and _exists(folder / part) else part for part in parts[::2]]
    return "".join(parts)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _converted(scalar: type, raw: object) -> tuple[str, Any]:
    """What was expected, in words, and `raw` as that type (None where it is not)."""
    if scalar is bool:
        return "true or false", _as_bool(raw)
    if scalar is int:
        return "a whole number", _as_number(int, raw)
    if scalar is float:
        return "a number", _as_number(float, raw)
    return "a text", str(raw) if isinstance(raw, (str, int, float)) else None


def _as_bool(raw: object) -> bool | None:
    if isinstance(raw, bool):
        return raw
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(str(raw).lower())


def _as_number(scalar: type, raw: object) -> int | float | None:
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        return None
    try:
        value = scalar(raw)
    except (ValueError, OverflowError):
        return None
    if scalar is int and isinstance(raw, float) and raw != value:
        return None
    finite: bool = value == value and abs(value) != float("inf")
    return value if finite else None
