"""dvc.yaml: one stage an experiment, and DVC runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")

import yaml

from relatum.paper import pipeline, results
from relatum.paper.experiment import experiment_ids, load_experiment

ROOT = Path(__file__).parents[2]


def test_the_committed_pipeline_is_that_of_the_experiments():
    assert (ROOT / "dvc.yaml").read_text(encoding="utf-8") == pipeline.dvc_yaml(), "run: make pages"


def test_there_is_a_stage_an_experiment():
    stages = yaml.safe_load(pipeline.dvc_yaml())["stages"]
    assert list(stages) == experiment_ids()
    for name, stage in stages.items():
        source = load_experiment(name).source
        listed = stage["outs"] if source == name else stage["deps"]
        assert any(f"results/${{preset}}/{source}.jsonl" in item for item in listed)


@pytest.mark.slow
def test_dvc_runs_a_stage(tmp_path, tiny_data):
    pytest.importorskip("dvc", reason="dvc is in the extra test")
    for name in ("dvc.yaml", "src/relatum/paper/experiments"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, target)
    (tmp_path / "params.yaml").write_text('preset: small\narguments: "--small"\n')
    scripts = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "RELATUM_DATA_DIR": str(tiny_data),
        "DVC_NO_ANALYTICS": "1",
    }

    def dvc(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    dvc("init", "--no-scm", "-q")
    dvc("repro", "table-1")
    assert results.read(tmp_path / "results" / "small" / "table-1.jsonl")
    assert "up to date" in dvc("repro", "table-1")
