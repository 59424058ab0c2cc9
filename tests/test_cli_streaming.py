"""project and translate as streams: memory, progress, forecasts, interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relatum
from relatum import _terminal
from relatum._cli_streaming import parse_bytes
from relatum.cli import main

X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("idx.npy", np.arange(9))
    return tmp_path


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("800MB", 8 * 10**8), ("2GiB", 2**31), ("1.5gb", 15 * 10**8), ("4096", 4096), ("1 kB", 1000)],
)
def test_memory_is_read_as_people_write_it(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["much", "1.2.3GB", "-1GB", "", "3 apples"])
def test_memory_that_is_no_size_is_refused(text, capsys):
    command = ["project", "x.npy", "--anchors", "idx.npy", "-o", "r.npy", f"--memory={text}"]
    assert main(command) == 2
    assert "expected bytes such as 800MB or 2GiB" in capsys.readouterr().err


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(capsys, files):
    found = json_of(
        capsys, "project", "x.npy", "--anchors", "idx.npy", "-o", "r.npy", "--dry-run",
        "--memory", "20kB", "--dtype", "float16", "--save", "m.safetensors",
    )  # fmt: skip
    assert found["n_rows"] == 500
    assert found["bytes_to_read"] == 500 * 6 * 4
    assert found["bytes_to_write"] == 500 * 9 * 2
    assert found["parts"] == -(-500 // found["rows_a_part"]) > 1
    assert found["seconds"] >= 0
    assert sorted(os.listdir(files)) == ["idx.npy", "x.npy"]


@pytest.mark.parametrize("output", ["r.parquet", "folder"])
def test_a_folder_of_columns_is_translated(output, capsys, files):
    relatum.save(relatum.Translation("ridge").fit(X[:100], X[:100, ::-1]), "map.safetensors")
    (files / "in").mkdir()
    for i, part in enumerate((X[:200], X[200:])):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), 6)
        pq.write_table(pa.table({"v": vectors, "title": ["t"] * len(part)}), f"in/{i}.parquet")
    found = json_of(
        capsys, "translate", "in", "--map", "map.safetensors", "-o", output, "--dtype", "float16",
        "--memory", "20kB",
    )  # fmt: skip
    assert (found["n_rows"], found["n_outputs"], found["method"]) == (500, 6, "ridge")
    back = pq.read_table(output)
    assert back.column_names == ["v", "title"]
    assert back.schema.field("v").type == pa.list_(pa.float16(), 6)
    np.testing.assert_allclose(np.stack(back["v"].to_numpy()).astype(float), X[:, ::-1], atol=0.01)


def test_every_column_that_is_left_out_is_named(capsys):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 6)
    pq.write_table(pa.table({"id": range(500), "v": vectors, "title": ["t"] * 500}), "x.parquet")
    assert main(["project", "x.parquet", "--anchors", "idx.npy", "-o", "r.npy"]) == 0
    said = capsys.readouterr().err
    assert "cannot hold the ids and the columns title of x.parquet; they are left out" in said


def test_the_map_must_fit_the_file(capsys):
    relatum.save(relatum.Translation("ridge").fit(X[:100, :5], X[:100]), "map.safetensors")
    assert main(["translate", "x.npy", "--map", "map.safetensors", "-o", "r.npy"]) == 2
    assert "x.npy has 6 features, map.safetensors takes 5" in capsys.readouterr().err


def test_progress_for_machines_is_lines_of_json(capsys, monkeypatch):
    monkeypatch.setattr(_terminal, "EVERY", 0.0)
    main(["project", "x.npy", "--anchors", "idx.npy", "-o", "r.npy", "--memory", "9kB", "--json"])
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in err.splitlines()]
    assert [e["rows"] for e in events] == sorted(e["rows"] for e in events)
    assert events[-1]["rows"] == events[-1]["of"] == 500
    assert events[-1]["doing"] == "projecting x.npy"
    assert {"rows_per_second", "seconds_left", "memory", "event"} < set(events[0])
    assert json.loads(out)["n_rows"] == 500


def test_an_interrupt_from_the_keyboard_keeps_what_was_written(files):
    np.save("big.npy", np.random.default_rng(1).normal(size=(20000, 64)).astype(np.float32))
    command = [
        sys.executable, "-c", "import sys, relatum.cli; sys.exit(relatum.cli.main())", "project",
        "big.npy", "--anchors", "idx.npy", "-o", "r.npy", "--memory", "60kB",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    journal = files / ".r.npy.unfinished" / "journal"
    while not (journal.exists() and journal.read_text().count("\n") > 3):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate()
    assert process.returncode == 130
    assert message == "relatum: interrupted; the same command goes on where it was\n"
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["rows_kept"] > 0
    R = relatum.relative_projection(np.load("big.npy"), np.load("big.npy")[:9])
    np.testing.assert_allclose(np.load("r.npy"), R, atol=1e-5)


@pytest.mark.parametrize("method", ["uniform", "farthest_point", "kmeans"])
def test_anchors_come_from_a_folder_of_columns_as_from_an_array(method, capsys, files):
    (files / "in").mkdir()
    for i, part in enumerate((X[:200], X[200:])):
        relatum.write_embeddings(f"in/{i}.parquet", part)
    for source, output in (("in", "a.npy"), ("x.npy", "b.npy")):
        found = json_of(
            capsys, "anchors", source, "-n", "20", "--method", method, "-o", output,
            "--memory", "9kB",
        )  # fmt: skip
        assert (found["n_rows"], found["n_anchors"]) == (500, 20)
    np.testing.assert_array_equal(np.load("a.npy"), np.load("b.npy"))


@pytest.mark.parametrize("anchors", [True, False])
def test_of_spaces_larger_than_memory_only_some_rows_are_compared(anchors, capsys, files):
    rng = np.random.default_rng(2)
    ids = rng.permutation(500)
    relatum.write_embeddings("a.parquet", X, ids=np.arange(500))
    relatum.write_embeddings("b.parquet", (X @ rng.normal(size=(6, 9)))[ids], ids=ids)
    common = ["compare", "a.parquet", "b.parquet", "--n-samples", "100", "--n-anchors", "30"]
    common += ["--measure", "cka", "--measure", "mean_reciprocal_rank"]
    common += ["--anchors", "idx.npy"] if anchors else []
    small, large = (json_of(capsys, *common, "--memory", m) for m in ("9kB", "1GB"))
    assert small["n_shared"] == large["n_shared"] == 500
    assert small["settings"]["n_rows_given"] < 150 < large["settings"]["n_rows_given"]
    assert small["settings"]["n_rows"] == large["settings"]["n_rows"] == 100
    assert small["settings"]["n_anchors"] == large["settings"]["n_anchors"]
    for name in ("cka", "mean_reciprocal_rank"):
        values = [found["results"][name]["value"] for found in (small, large)]
        assert abs(values[0] - values[1]) < 0.2


def test_all_rows_are_compared_where_that_is_asked_for(capsys):
    relatum.write_embeddings("a.parquet", X)
    found = json_of(capsys, "compare", "a.parquet", "a.parquet", "--n-samples", "0", "--memory",
                    "9kB", "--measure", "cka")  # fmt: skip
    assert found["settings"]["n_rows_given"] == 500


@pytest.mark.parametrize("memory", ["9kB", "1GB"])
def test_all_rows_are_compared_by_the_measures_that_need_no_neighbours(memory, capsys):
    rng = np.random.default_rng(3)
    kept = np.sort(rng.permutation(len(X))[:450])
    Y = X[kept] @ rng.normal(size=(X.shape[1], 5)) + rng.normal(size=(450, 5))
    relatum.write_embeddings("a.parquet", X, ids=np.arange(len(X)))
    relatum.write_embeddings("b.parquet", Y, ids=kept)
    common = ["compare", "a.parquet", "b.parquet", "--n-samples", "200", "-n", "20"]
    found = json_of(capsys, *common, "--memory", memory, "--all-rows")
    assert found["n_shared"] == 450
    assert found["all_rows"]["cka"] == pytest.approx(relatum.cka(X[kept], Y), abs=1e-5)
    assert found["results"]["cka"]["n_rows"] == 200
    assert "all_rows" not in json_of(capsys, *common, "--memory", memory)
    # a gate takes what all rows say
    bound = (found["all_rows"]["cka"] + found["results"]["cka"]["value"]) / 2
    higher = found["all_rows"]["cka"] > bound
    code = main([*common, "--all-rows", "--measure", "cka", "--gate", f"cka={bound}"])
    assert code == (0 if higher else 1)
    assert f"over all rows: cka {found['all_rows']['cka']:.4f}" in capsys.readouterr().out


def test_rows_in_another_order_are_not_compared_from_disk(capsys):
    relatum.write_embeddings("a.parquet", X, ids=np.arange(len(X)))
    relatum.write_embeddings("b.parquet", X[::-1], ids=np.arange(len(X))[::-1])
    common = ["compare", "a.parquet", "b.parquet", "--n-samples", "200", "-n", "20", "--all-rows"]
    assert main([*common, "--memory", "9kB"]) == 2
    assert (
        "rows of b.parquet do not rise; expected the order of the file" in capsys.readouterr().err
    )
    assert json_of(capsys, *common, "--n-samples", "0")["all_rows"]["cka"] == pytest.approx(1)
