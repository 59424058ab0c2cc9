"""A small data folder in the formats of the real ones, for machines that have none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """A data folder that every ``tiny_<topic>.py`` has written its data sets into."""
    folder = tmp_path_factory.mktemp("data")
    for path in sorted(HERE.glob("tiny_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        getattr(module, f"write_{path.stem.removeprefix('tiny_')}")(folder)
    return folder


@pytest.fixture
def make_run(tmp_path, tiny_data):
    """Make what a task function is given, with everything it writes in a folder of the test."""
    from relatum.paper.runner import Run

    def make(experiment="table-1", **changes):
        settings = {
            "experiment": experiment,
            "preset": "small",
            "work": tmp_path / "work",
            "features_dir": tmp_path / "features",
            "results_dir": tmp_path / "results",
            "data_dir": tiny_data,
        } | changes
        settings["work"].mkdir(parents=True, exist_ok=True)
        return Run(**settings)

    return make
