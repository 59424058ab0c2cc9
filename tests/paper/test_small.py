"""Every experiment once, in its small form: the real code path, on a small data folder."""

from __future__ import annotations

import pytest

for module in ("torch", "yaml", "pydantic", "lightning", "torch_geometric", "transformers"):
    pytest.importorskip(module, reason="the paper's experiments need the extra paper")

from relatum.cli import main  # noqa: E402
from relatum.paper import pages, results  # noqa: E402
from relatum.paper.experiment import experiment_ids, find, load_experiment  # noqa: E402

RUN = [name for name in experiment_ids() if not load_experiment(name).uses]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("small")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_small_form_runs_and_is_drawn(name, folder, tiny_data, capsys):
    arguments = ["reproduce", name, "--small", "--data-dir", str(tiny_data)]
    arguments += ["--results", str(folder / "results"), "--work-dir", str(folder / "work")]
    assert main(arguments) == 0, capsys.readouterr().err
    path = results.results_path(folder / "results", "small", name)
    lines = results.read(path)
    experiment = load_experiment(name)
    for stage in experiment.stages:
        if stage.cells("small") and not stage.optional:
            assert {line["key"] for line in lines} >= {stage.key(c) for c in stage.cells("small")}

    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "nothing was run" in out or "\n0 cells run" in out
    assert results.read(path) == lines

    kept = pages.kept_arrays(folder / "results", name, "small")
    for other in experiment_ids():
        for picture in load_experiment(other).pictures:
            if load_experiment(other).source == name:
                drawn = folder / f"{other}-{picture.name}.png"
                find(picture.draw)(results.rows_of(lines), kept, drawn, **picture.options)
                assert drawn.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
