"""An experiment as data: what its YAML may hold, and whether the code takes it.

A stage is a task function and a grid; every combination of the grid's values is a
*cell*, one call of the function, which is also the unit of resuming.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, get_type_hints

from relatum import _validation

try:
    import yaml
    from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
except ImportError as error:
    raise _validation.MissingExtraError(
        "relatum.paper needs pydantic and yaml; install them with: pip install 'relatum[paper]'"
    ) from error

Preset = Literal["offline", "paper", "small"]
PRESETS: tuple[Preset, ...] = ("offline", "paper", "small")
Row = dict[str, Any]
Where = dict[str, Any]
"""Fields of a row and what they must be; a list allows each of its values."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Setting(_Strict):
    """A value and where it comes from."""

    value: Any
    source: str = Field(min_length=3)


class Layer(_Strict):
    """What one preset sets: settings, and the lists whose product is the grid."""

    settings: dict[str, Setting] = {}
    grid: dict[str, list[Any]] = {}
    exclude: list[Where] = []


class Stage(_Strict):
    """One task function run over a grid.

    ``version`` is raised when the task's meaning changes, so that older results
    are not taken for it. ``jobs`` cells run at once, each on its share of the
    processors. An ``optional`` stage goes without cells whose data are missing.
    """

    name: str
    task: str
    version: int = 1
    jobs: int = 1
    optional: bool = False
    settings: dict[str, Setting] = {}
    offline: Layer = Layer()
    paper: Layer = Layer()
    small: Layer = Layer()

    def layers(self, preset: Preset) -> list[Layer]:
        """The layers of a preset, later over earlier; ``small`` lies over ``offline``."""
        return {
            "offline": [self.offline],
            "paper": [self.paper],
            "small": [self.offline, self.small],
        }[preset]

    def values(self, preset: Preset) -> dict[str, Any]:
        """The settings of a preset without their sources."""
        found = dict(self.settings)
        for layer in self.layers(preset):
            found |= layer.settings
        return {name: setting.value for name, setting in found.items()}

    def cells(self, preset: Preset) -> list[dict[str, Any]]:
        """Every call of the task as its keyword arguments, in the order of the grid."""
        settings = self.values(preset)
        grid: dict[str, list[Any]] = {}
        excluded: list[Where] = []
        for layer in self.layers(preset):
            fixed = set(layer.settings)
            grid = {k: v for k, v in grid.items() if k not in fixed} | layer.grid
            excluded += layer.exclude
        if not grid and not any(layer.settings for layer in self.layers(preset)):
            return []  # this preset goes without the stage
        combinations = itertools.product(*grid.values())
        cells = [settings | dict(zip(grid, values, strict=True)) for values in combinations]
        return [cell for cell in cells if not any(matches(cell, e) for e in excluded)]

    def key(self, cell: Mapping[str, Any]) -> str:
        """What a cell's results are found by: a hash of the task, its version and arguments."""
        content = json.dumps([self.task, self.version, dict(cell)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


class Instead(_Strict):
    """What the offline preset takes in place of what the paper used."""

    what: str
    by: str
    why: str


class PaperValue(_Strict):
    """A number of the paper, and the rows that it is held against."""

    where: Where
    metric: str
    value: float
    std: float | None = None


class Table(_Strict):
    """How rows are shown: mean ± std over every field that is not named."""

    title: str
    rows: list[str]
    columns: list[str] = []
    metrics: list[str]
    where: Where = {}
    digits: int | dict[str, int] = 2
    """After the point; a mapping says it for each metric."""

    def digits_of(self, metric: str) -> int:
        """Return how many digits a metric is shown with."""
        return self.digits if isinstance(self.digits, int) else self.digits.get(metric, 2)


class Check(_Strict):
    """A claim that rows can uphold: a mean, or its ratio to or difference from another.

    ``ours``: a bound on what the paper does not claim, such as other projections.
    """

    claim: str
    metric: str
    where: Where = {}
    over: Where | None = None
    minus: Where | None = None
    each: list[str] = []
    at_least: float | None = None
    at_most: float | None = None
    paper: float | None = None
    ours: bool = False
    note: str = ""

    @model_validator(mode="after")
    def _one_comparison(self) -> Check:
        if self.over is not None and self.minus is not None:
            raise ValueError("a check has over or minus, not both")
        return self


class Picture(_Strict):
    """A picture drawn from the rows and the kept arrays."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    draw: str
    caption: str
    options: dict[str, Any] = {}


class Experiment(_Strict):
    """One table or figure of the paper, or a study of ours."""

    id: str = Field(pattern=r"^(table|figure|study)-\d+$")
    title: str
    section: str
    claim: str
    cannot: str = ""
    """Why the claim itself cannot be tried offline, where it cannot."""
    stages: list[Stage] = []
    uses: str | None = None
    instead: list[Instead] = []
    silent: list[str] = []
    notes: list[str] = []
    paper_values: list[PaperValue] = []
    tables: list[Table] = []
    checks: list[Check] = []
    pictures: list[Picture] = []

    @model_validator(mode="after")
    def _runs_something(self) -> Experiment:
        if bool(self.stages) == bool(self.uses):
            raise ValueError("an experiment has either stages or uses")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages have the names {names}; expected each once")
        return self

    @property
    def is_study(self) -> bool:
        """Whether it is ours: there is no paper to agree with, but goals."""
        return self.id.startswith("study")

    @property
    def source(self) -> str:
        """The experiment whose results this one shows: its own, or those of ``uses``."""
        return self.uses or self.id

    def current(self, lines: Iterable[dict[str, Any]], preset: Preset) -> list[dict[str, Any]]:
        """Results of the cells that there are today: not those of older settings."""
        keys = {stage.key(cell) for stage in self.stages for cell in stage.cells(preset)}
        return [line for line in lines if line["key"] in keys]


def matches(row: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Say whether ``row`` has the values of ``where``; a list allows each of its values."""
    return all(
        row.get(name) in wanted if isinstance(wanted, list) else row.get(name) == wanted
        for name, wanted in where.items()
    )


def experiment_ids() -> list[str]:
    """Ids of all experiments: figures, tables, studies of ours, by number."""
    folder = resources.files(__package__) / "experiments"
    names = [f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")]

    def order(name: str) -> tuple[bool, str, int]:
        kind, number = name.split("-")
        return kind == "study", kind, int(number)

    return sorted(names, key=order)


@cache
def load_experiment(experiment: str) -> Experiment:
    """Return the experiment of that id.

    Raises
    ------
    ValueError
        An unknown id, or a YAML that does not hold together.
    """
    _validation.check_choice(experiment, "experiment", experiment_ids())
    file = resources.files(__package__) / "experiments" / f"{experiment}.yaml"
    return parse_experiment(file.read_text(encoding="utf-8"), experiment)


def parse_experiment(text: str, name: str) -> Experiment:
    """Read an experiment from YAML text; ``name`` is the id that it must have."""
    try:
        found = Experiment.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"{name}.yaml is no experiment: {error}") from error
    if found.id != name:
        raise ValueError(f"{name}.yaml has the id {found.id!r}; expected that of its file")
    return found


def find(path: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names.

    Raises
    ------
    ValueError
        No such module or function.
    """
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name not in (module, *_parents(module)):
            raise _validation.MissingExtraError(
                f"{path} needs {error.name}; install it with: pip install 'relatum[paper]'"
            ) from error
        raise ValueError(f"{path!r} names no function; expected module:function") from error
    if not callable(function):
        raise ValueError(f"{path!r} is not a function")
    return function  # type: ignore[no-any-return]


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def problems(experiment: Experiment) -> list[str]:
    """Hold every stage and picture against the signature of its function; nothing is run."""
    found: list[str] = []
    for stage in experiment.stages:
        for preset in PRESETS:
            found += [f"{stage.name} ({preset}): {p}" for p in _stage_problems(stage, preset)]
    for picture in experiment.pictures:
        parameters = inspect.signature(find(picture.draw)).parameters
        for name in set(picture.options) - set(parameters):
            found.append(f"picture {picture.name}: {picture.draw} takes no {name!r}")
    if experiment.uses and experiment.uses not in experiment_ids():
        found.append(f"uses {experiment.uses!r}, which is no experiment")
    return found


def _stage_problems(stage: Stage, preset: Preset) -> Iterator[str]:
    task = find(stage.task)
    parameters = dict(inspect.signature(task).parameters)
    parameters.pop("run", None)
    hints = get_type_hints(task)
    choices = getattr(inspect.getmodule(task), "CHOICES", {})
    seen: set[str] = set()
    for cell in stage.cells(preset):
        needed = {n for n, p in parameters.items() if p.default is inspect.Parameter.empty}
        for name in [*(set(cell) - set(parameters)), *(needed - set(cell))]:
            what = "is not a parameter" if name in cell else "is not given"
            seen.add(f"{name!r} {what} of {stage.task}")
        for name in set(cell) & set(parameters):
            seen |= set(_value_problems(name, cell[name], hints.get(name, Any), choices))
    yield from sorted(seen)


def _value_problems(name: str, value: Any, hint: Any, choices: Mapping[str, Any]) -> Iterator[str]:
    try:
        TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        yield f"{name} is {value!r}: {error.errors()[0]['msg']}"
    for one in value if isinstance(value, list) else [value]:
        if name in choices and one is not None and one not in choices[name]:
            yield f"{name} is {one!r}; expected one of {sorted(choices[name])}"
