"""The plan of a migration: what will be done, what it costs, and what to expect of it.

A plan is one TOML file for people to read and to edit. Beside it lies a folder that holds
what was done so far: vectors of the new encoder, the map, and what was verified.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relatum import _files, _validation
from relatum._validation import require
from relatum.migration.filling import BATCH

__all__ = ["EncoderPart", "GatePart", "MapPart", "MigrationPlan", "RunPart", "StorePart",
           "read_plan", "state_folder", "write_plan"]  # fmt: skip

LEAST = 50
"""Anchors that a translation is fitted on, at least."""


@dataclass(frozen=True)
class StorePart:
    """The store as it is."""

    url: str
    text: str = "text"
    """Field that the new encoder gets; empty where its vectors come from a file."""
    vector: str = ""
    id: str = ""


@dataclass(frozen=True)
class EncoderPart:
    """The encoder to go to, and the one to leave."""

    name: str
    embed: str
    """See :func:`relatum.migration.native_vectors.embedder`."""
    revision: str = ""
    column: str = ""
    """Of the vectors, where ``embed`` is a file that has several."""
    old_name: str = ""
    old_revision: str = ""


@dataclass(frozen=True)
class MapPart:
    """How the translation is fitted."""

    n_anchors: int = 1_000
    method: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class RunPart:
    """How the store is gone through."""

    shadow: str
    alias: str
    batch: int = BATCH
    rows_per_second: float = 0.0
    """0: as fast as it goes."""
    normalize: bool = False
    """Write rows of norm 1, as the new encoder does: for a distance that sees norms."""


@dataclass(frozen=True)
class GatePart:
    """What must be reached before the alias is switched."""

    min_retention: float = 0.0
    """Share of items that find themselves among the first 10."""
    n_verified: int = 300
    """Items that are embedded to verify it."""


@dataclass(frozen=True)
class MigrationPlan:
    """What `relatum migrate run` does."""

    store: StorePart
    encoder: EncoderPart
    run: RunPart
    map: MapPart = field(default_factory=MapPart)
    gate: GatePart = field(default_factory=GatePart)
    predicted: dict[str, Any] = field(default_factory=dict)
    """What was expected when the plan was made; for people."""


PARTS: dict[str, Any] = {"store": StorePart, "encoder": EncoderPart, "map": MapPart,
                         "run": RunPart, "gate": GatePart}  # fmt: skip
COMMENTS = {
    "store": "The store as it is; nothing here is changed or dropped.",
    "encoder": "The encoder to go to (name, revision, embed) and the one that made the vectors.\n"
    "embed is a command (JSON strings on standard input, .npy on standard output), a function\n"
    "of Python (module:function), or a file of vectors with ids.",
    "map": "The translation: how many items are embedded to fit it, and by which method.",
    "run": "The rows with new vectors go to a table or collection of their own, the shadow;\n"
    "the alias is what is switched to it and back. rows_per_second = 0 sets no limit; normalize\n"
    "is true where the new encoder's vectors all have norm 1.",
    "gate": "The alias is not switched below this share of items that find themselves among\n"
    "the first 10.",
    "predicted": "What to expect, when the plan was made; changing it has no effect.",
}


def state_folder(path: str | os.PathLike[str]) -> Path:
    """Return where a plan keeps what was done."""
    return Path(f"{os.fspath(path)}.state")


def read_plan(path: str | os.PathLike[str]) -> MigrationPlan:
    """Read a plan.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    FileNotFoundError, ValueError
        No file, no TOML, a setting that is not known, is missing, or has another type.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file; expected what relatum migrate plan wrote")
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    for name in found:
        _validation.check_choice(name, f"{path}: section", [*PARTS, "predicted"])
    parts = {name: _part(path, name, found.get(name, {})) for name in PARTS}
    plan = MigrationPlan(**parts, predicted=found.get("predicted", {}))
    if plan.map.n_anchors < LEAST:
        raise ValueError(
            f"{path}: map.n_anchors is {plan.map.n_anchors}; expected at least {LEAST}"
        )
    return plan


def _part(path: str | os.PathLike[str], name: str, given: Any) -> Any:
    known = {f.name: f for f in dataclasses.fields(PARTS[name])}
    if not isinstance(given, Mapping):
        raise ValueError(f"{path}: {name} is {given!r}; expected a section [{name}]")
    values: dict[str, Any] = {}
    for key, value in given.items():
        _validation.check_choice(key, f"{path}: {name}", known)
        kind = str(known[key].type)
        expected: Any = {"int": int, "float": (int, float), "str": str, "bool": bool}[kind]
        if not isinstance(value, expected) or (isinstance(value, bool) and kind != "bool"):
            raise ValueError(f"{path}: {name}.{key} is {value!r}; expected {kind}")
        values[key] = float(value) if kind == "float" else value
    missing = [k for k, f in known.items() if f.default is dataclasses.MISSING and k not in values]
    if missing:
        raise ValueError(f"{path}: {name} lacks {', '.join(missing)}")
    return PARTS[name](**values)


def write_plan(path: str | os.PathLike[str], plan: MigrationPlan) -> None:
    """Write a plan with a comment on each section.

    Parameters
    ----------
    path : str or path
    plan : MigrationPlan
    """
    tomlkit = require("tomlkit", "stores", "a plan")
    document = tomlkit.document()
    today = datetime.date.today().isoformat()
    document.add(tomlkit.comment(f"A migration, planned on {today}. relatum migrate run carries"))
    document.add(tomlkit.comment("it out; edit it before that as you like."))
    for name in (*PARTS, "predicted"):
        part = getattr(plan, name)
        document.add(tomlkit.nl())
        for line in COMMENTS[name].splitlines():
            document.add(tomlkit.comment(line))
        document.add(name, part if isinstance(part, dict) else dataclasses.asdict(part))
    with _files.replacing(path) as temporary:
        temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
