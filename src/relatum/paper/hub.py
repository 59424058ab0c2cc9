"""Models and data sets by their hub names: from a folder first, then from the hub.

``FOLDER/hub/<name with / as -->`` below the data folder holds what
``save_pretrained`` or ``datasets.save_to_disk`` wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from relatum import _validation
from relatum.paper.runner import MissingDataError, Run

T = TypeVar("T")


def hub_folder(run: Run, name: str, config: str | None = None) -> Path | None:
    """Return the folder that stands in for the hub's ``name``, or None where there is none."""
    if run.data_dir is None:
        return None
    path = run.data_dir / "hub" / _folder_name(name, config)
    return path if path.is_dir() else None


def from_hub(
    run: Run,
    name: str,
    *,
    local: Callable[[Path], T],
    remote: Callable[[str], T],
    config: str | None = None,
) -> T:
    """Load ``name`` with ``local`` from its folder, or with ``remote`` from the hub.

    Raises
    ------
    MissingDataError
        There is no such folder, and the hub is out of reach (or not to be asked); the
        message says which folder to put where.
    """
    folder = hub_folder(run, name, config)
    if folder is not None:
        return local(folder)
    where = f"{run.data_dir or 'FOLDER'}/hub/{_folder_name(name, config)}"
    wanted = f"{run.experiment} needs {name!r}: put its saved folder into {where}"
    if run.data_dir is None:
        wanted += " and say --data-dir FOLDER"
    if run.offline:
        raise MissingDataError(f"{wanted} (this preset asks no hub)")
    try:
        return remote(name)
    except (OSError, ValueError, RuntimeError) as error:  # what the clients raise without a hub
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MissingDataError(f"{wanted} (the hub gave: {reason})") from error


def load_split(run: Run, name: str, split: str, config: str | None = None) -> Any:
    """Return one split of a data set of the Datasets library.

    Raises
    ------
    MissingDataError
        The data set is not here, or its folder has no such split.
    """
    datasets = _validation.require("datasets", "paper", "loading data sets by their hub names")
    whole = from_hub(
        run,
        name,
        config=config,
        local=lambda folder: datasets.load_from_disk(str(folder)),
        remote=lambda hub_name: datasets.load_dataset(hub_name, config),
    )
    if split not in whole:
        raise MissingDataError(
            f"{name!r} has the splits {sorted(whole)}; {run.experiment} needs {split!r}"
        )
    return whole[split]


def _folder_name(name: str, config: str | None) -> str:
    return "--".join([*name.split("/"), *([config] if config else [])])
