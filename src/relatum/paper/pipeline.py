"""The experiments as a DVC pipeline: ``dvc repro table-1`` runs one and records what it made."""

from __future__ import annotations

from typing import Any

import yaml

from relatum.paper.experiment import experiment_ids, load_experiment

HEADER = """\
# Written by `make pages` from src/relatum/paper/experiments: one stage an experiment.
# params.yaml has the preset; the data folder is that of RELATUM_DATA_DIR.
"""


def dvc_yaml() -> str:
    """Return the text of ``dvc.yaml``."""
    stages = {name: _stage(name) for name in experiment_ids()}
    return HEADER + str(yaml.safe_dump({"stages": stages}, sort_keys=False, width=100))


def _stage(name: str) -> dict[str, Any]:
    experiment = load_experiment(name)
    definition = f"src/relatum/paper/experiments/{name}.yaml"
    command = f"relatum reproduce {name} ${{arguments}}"
    results = f"results/${{preset}}/{experiment.source}.jsonl"
    if experiment.uses:
        return {"cmd": command, "deps": [definition, results]}
    # Results are appended to, and belong to git: DVC neither removes nor stores them.
    outs = [{results: {"cache": False, "persist": True}}]
    return {"cmd": command, "deps": [definition], "outs": outs}
