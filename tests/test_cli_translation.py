"""fit, translate, search and evaluate: what they write and print, and what they refuse."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import relatum
from relatum import cli
from relatum.common_space import CommonSpace

N, D = 240, 12
RNG = np.random.default_rng(0)
A = RNG.normal(size=(N, D)) + 1
TURN = np.linalg.qr(RNG.normal(size=(15, 15)))[0][:D]
B = A @ TURN + 0.05 * RNG.normal(size=(N, 15))
IDS = np.array([f"i{i}" for i in range(N)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Embeddings of the same items in two encoders, as arrays and as tables with ids."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", A)
    np.save("b.npy", B)
    np.save("idx.npy", np.arange(60))
    order = np.random.default_rng(1).permutation(N)
    relatum.write_embeddings("a.parquet", A, IDS)
    relatum.write_embeddings("b.parquet", B[order], IDS[order])
    return tmp_path


@pytest.fixture
def fitted(folder, capsys):
    assert run("fit", "a.npy", "b.npy", "--anchors", "idx.npy", "-o", "m.safetensors") == 0
    capsys.readouterr()
    return folder


def run(*arguments) -> int:
    return cli.main([str(a) for a in arguments])


def run_json(capsys, *arguments, code=0) -> dict:
    assert run(*arguments, "--json") == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments) -> str:
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_fit_keeps_the_map_and_what_the_other_items_say(folder, capsys):
    found = run_json(
        capsys, "fit", "a.npy", "b.npy", "--anchors", "idx.npy", "-o", "m.safetensors",
        "--encoder", "old", "--target-encoder", "new",
    )  # fmt: skip
    assert (found["n_anchors"], found["n_features"], found["n_outputs"]) == (60, D, 15)
    assert found["measured"]["n_items"] == N - 60
    assert found["measured"]["translated"]["recall_1"] > 0.95
    manifest = run_json(capsys, "info", "m.safetensors")
    assert (manifest["encoder"], manifest["target_encoder"]) == ("old", "new")
    assert manifest["measured"] == found["measured"]
    expected = relatum.Translation().fit(A[:60], B[:60]).transform(A)
    np.testing.assert_allclose(relatum.load("m.safetensors").transform(A), expected)


def test_fit_predicts_quality_and_has_a_gate(folder, capsys):
    common = ["fit", "a.npy", "b.npy", "--anchors", "idx.npy", "-o", "m.safetensors"]
    found = run_json(capsys, *common, "--min-retention", 0.5)
    predicted = found["predicted"]
    assert predicted["recall_k"]["low"] <= found["measured"]["translated"]["recall_k"]
    assert predicted["n_index"] == N
    assert relatum.read_manifest("m.safetensors")["predicted"] == predicted
    found = run_json(capsys, *common, "--min-retention", 1.0, code=1)
    assert "predicted R@10 is" in found["gates_failed"][0]
    np.save("few.npy", np.arange(10))
    few = ["fit", "a.npy", "b.npy", "--anchors", "few.npy", "-o", "f.safetensors"]
    assert run_json(capsys, *few)["predicted"] is None
    found = run_json(capsys, *few, "--min-retention", 0.1, code=1)
    assert found["gates_failed"] == [
        "nothing is predicted: that takes 20 anchors and other rows of TARGET"
    ]


def test_fit_shows_a_table(folder, capsys):
    run("fit", "a.npy", "b.npy", "--anchors", "idx.npy", "--method", "ridge", "-o", "m.safetensors")
    out = capsys.readouterr().out
    assert "method" in out
    assert "predicted for new items:" in out
    assert "measured on the other items:" in out
    assert "R@1" in out


def write_pairs(name, pairs):
    with open(name, "w", newline="") as file:
        csv.writer(file, delimiter="\t" if name.endswith("tsv") else ",").writerows(pairs)


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.tsv"])
def test_anchors_as_pairs_of_ids(folder, capsys, name):
    write_pairs(name, [[f"i{i}", f"i{i}"] for i in range(60)])
    found = run_json(
        capsys, "fit", "a.parquet", "b.parquet", "--anchors", name, "-o", "m.safetensors",
        "--method", "ridge",
    )  # fmt: skip
    assert (found["n_anchors"], found["measured"]["n_items"]) == (60, N - 60)
    expected = relatum.Translation("ridge").fit(A[:60], B[:60]).transform(A)
    np.testing.assert_allclose(relatum.load("m.safetensors").transform(A), expected)


def test_anchors_as_pairs_of_rows_need_no_other_correspondence(folder, capsys):
    order = np.random.default_rng(2).permutation(N)[:200]
    np.save("c.npy", B[order])
    np.save("pairs.npy", np.stack([order[:60], np.arange(60)], axis=1))
    found = run_json(
        capsys, "fit", "a.npy", "c.npy", "--anchors", "pairs.npy", "-o", "m.safetensors",
    )  # fmt: skip
    assert found["n_anchors"] == 60
    assert found["measured"] is None
    assert relatum.load("m.safetensors").score(A, B) > 0.95


def test_without_anchors_all_shared_items_are(folder, capsys):
    found = run_json(capsys, "fit", "a.parquet", "b.parquet", "-o", "m.safetensors")
    assert found["n_anchors"] == N


def test_pairs_of_rows_say_that_places_mean_nothing(folder, capsys):
    order = np.random.default_rng(1).permutation(N)
    np.save("b.npy", B[order])
    np.save("pairs.npy", np.stack([order, np.arange(N)], axis=1)[:80])
    found = run_json(
        capsys, "fit", "a.npy", "b.npy", "--anchors", "pairs.npy", "-o", "m.safetensors"
    )
    assert found["measured"] is None
    assert "leaves no item that both" in refused(
        capsys, "evaluate", "m.safetensors", "a.npy", "b.npy", "--anchors", "pairs.npy"
    )


def test_items_that_are_not_the_same_are_warned_of(fitted, capsys):
    np.save("b.npy", B[::-1].copy())
    assert run("evaluate", "m.safetensors", "a.npy", "b.npy", "-k", "1") == 0
    assert "no more are found than by chance" in capsys.readouterr().err


def test_a_file_with_nan_is_named_with_its_rows(folder, capsys):
    X = A.copy()
    X[[70, 200]] = np.nan
    np.save("a.npy", X)
    message = refused(
        capsys, "fit", "a.npy", "b.npy", "--anchors", "idx.npy", "-o", "m.safetensors"
    )
    assert "a.npy contains NaN or infinity in 2 rows: 70, 200" in message


def test_anchors_among_the_items_that_score_are_warned_of(fitted, capsys):
    assert run("evaluate", "m.safetensors", "a.npy", "b.npy") == 0
    assert "a.npy has anchors that m.safetensors was fitted on" in capsys.readouterr().err
    assert run("evaluate", "m.safetensors", "a.npy", "b.npy", "--anchors", "idx.npy") == 0
    assert "anchors that" not in capsys.readouterr().err


def test_info_says_how_a_map_was_fitted(fitted, capsys):
    found = run_json(capsys, "info", "m.safetensors")
    assert found["n_anchors"] == 60
    assert (found["n_features_in"], found["n_features_out"]) == (D, 15)
    assert run("info", "m.safetensors") == 0
    assert found["method"] in capsys.readouterr().out


def test_too_few_anchors_for_a_prediction_are_said(folder, capsys):
    np.save("few.npy", np.arange(10))
    assert run("fit", "a.npy", "b.npy", "--anchors", "few.npy", "-o", "m.safetensors") == 0
    assert "nothing is predicted for new items: that takes 20 anchors" in capsys.readouterr().out


def test_translate_does_not_load_the_estimators(fitted):
    script = (
        "import sys, relatum.cli; "
        "sys.argv = ['relatum', 'translate', 'a.npy', '--map', 'm.safetensors', '-o', 't.npy']; "
        "import contextlib\nwith contextlib.suppress(SystemExit): relatum.cli.main()\n"
        "print([m for m in ('sklearn', 'pandas', 'torch') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines()[-1] == "[]"
    assert np.load("t.npy").shape == (N, 15)


def test_translate_both_ways(fitted, capsys):
    found = run_json(capsys, "translate", "a.npy", "--map", "m.safetensors", "-o", "t.npy")
    assert (found["n_rows"], found["n_outputs"]) == (N, 15)
    translation = relatum.load("m.safetensors")
    np.testing.assert_array_equal(np.load("t.npy"), translation.transform(A))
    run_json(capsys, "translate", "b.npy", "--map", "m.safetensors", "--inverse", "-o", "u.npy")
    np.testing.assert_array_equal(np.load("u.npy"), translation.inverse_transform(B))
    run_json(capsys, "translate", "a.parquet", "--map", "m.safetensors", "-o", "t.parquet")
    assert relatum.read_embeddings("t.parquet").ids.tolist() == IDS.tolist()


def test_search_with_a_map(fitted, capsys):
    found = run_json(capsys, "search", "a.parquet", "b.parquet", "--map", "m.safetensors", "-k", 3)[
        "found"
    ]
    assert [one["query"] for one in found] == IDS.tolist()
    assert np.mean([one["items"][0] == one["query"] for one in found]) > 0.95


def test_search_with_two_projections(folder, capsys):
    for side in "ab":
        assert run("project", f"{side}.npy", "--anchors", "idx.npy", "--center", "-o", "r.npy",
                   "--save", f"{side}.safetensors") == 0  # fmt: skip
    capsys.readouterr()
    common = ["search", "a.npy", "b.npy", "--map", "a.safetensors"]
    found = run_json(capsys, *common, "--index-map", "b.safetensors", "-k", 1)["found"]
    assert np.mean([one["items"][0] == one["query"] for one in found]) > 0.95
    assert "--index-map takes the index's" in refused(capsys, *common)
    run("project", "b.npy", "--anchors", "idx.npy", "-o", "r.npy", "--save", "c.safetensors")
    capsys.readouterr()
    assert "center is True here and False there" in refused(
        capsys, *common, "--index-map", "c.safetensors"
    )


def test_penalties_are_kept_and_used_again(fitted, capsys):
    common = ["search", "a.npy", "b.npy", "--map", "m.safetensors", "-k", 4]
    first = run_json(capsys, *common, "--correction", "csls", "--background", "a.npy",
                     "--save-penalty", "p.safetensors")  # fmt: skip
    again = run_json(capsys, *common, "--penalty", "p.safetensors")
    assert first["found"] == again["found"]
    kept = relatum.load("p.safetensors")
    assert (kept.values.shape, kept.correction) == ((N,), "csls")
    np.save("other.npy", B[:200])
    other = ["search", "a.npy", "other.npy", "--map", "m.safetensors", "--penalty"]
    assert "penalty was computed for another index (240 rows)" in refused(
        capsys, *other, "p.safetensors"
    )
    assert "expected penalties, as --save-penalty writes" in refused(
        capsys, *other, "m.safetensors"
    )


@pytest.mark.parametrize("name", ["found.csv", "found.parquet"])
def test_all_that_was_found_goes_to_a_file(fitted, capsys, name):
    assert run("search", "a.npy", "b.npy", "--map", "m.safetensors", "-k", 3, "-o", name) == 0
    assert f"... {N} queries, all in {name}" in capsys.readouterr().out
    if name.endswith("csv"):
        with open(name, newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = pq.read_table(name).to_pylist()
    assert len(rows) == 3 * N
    assert [int(r["rank"]) for r in rows[:3]] == [1, 2, 3]
    assert int(rows[0]["query"]) == int(rows[0]["item"]) == 0


def test_evaluate_has_a_gate(fitted, capsys):
    np.save("a_test.npy", A[60:])
    np.save("b_test.npy", B[60:])
    common = ["evaluate", "m.safetensors", "a_test.npy", "b_test.npy"]
    found = run_json(capsys, *common)
    assert found["translated"]["recall_1"] > 0.95
    assert found["unchanged"] is None
    assert found["n_items"] == N - 60
    assert run(*common, "--min-recall", 0.5) == 0
    assert run(*common, "--min-recall", 1.1) == 1
    assert "gate failed: R@1 is" in capsys.readouterr().err


def test_evaluate_leaves_the_anchors_out(fitted, capsys):
    np.save("rows.npy", np.arange(60))
    common = ["evaluate", "m.safetensors", "a.npy", "b.npy"]
    assert run_json(capsys, *common)["n_items"] == N
    assert run_json(capsys, *common, "--anchors", "rows.npy")["n_items"] == N - 60
    np.save("rows.npy", np.arange(N))
    assert "rows.npy leaves no item that both files" in refused(
        capsys, *common, "--anchors", "rows.npy"
    )


def test_evaluate_draws_some_of_many_items(fitted, capsys):
    common = ["evaluate", "m.safetensors", "a.npy", "b.npy", "--anchors", "idx.npy"]
    some = run_json(capsys, *common, "--n-samples", "50")
    assert (some["n_shared"], some["n_items"]) == (180, 50)
    assert run_json(capsys, *common, "--n-samples", "50", "--seed", "0") == some
    assert run_json(capsys, *common, "--n-samples", "0")["n_items"] == 180


def test_folders_of_columns_do_for_everything(fitted, capsys):
    for name in ("a", "b"):
        table = pq.read_table(f"{name}.parquet")
        Path(name).mkdir()
        for i, start in enumerate((0, 100, 101)):
            pq.write_table(table.slice(start, (100, 1, N)[i]), f"{name}/{i}.parquet")
    Path("pairs.csv").write_text("".join(f"i{i},i{i}\n" for i in range(60)))
    common = ["--anchors", "pairs.csv", "-o", "n.safetensors"]
    found = run_json(capsys, "fit", "a", "b", *common)
    assert found == run_json(capsys, "fit", "a.parquet", "b.parquet", *common) | {
        "source": "a", "target": "b", "seconds": found["seconds"],
    }  # fmt: skip
    scores = run_json(capsys, "evaluate", "n.safetensors", "a", "b", "--anchors", "pairs.csv")
    assert scores["n_items"] == 180
    whole = run_json(capsys, "search", "a", "b", "--map", "n.safetensors", "-k", "1")
    small = run_json(
        capsys, "search", "a", "b", "--map", "n.safetensors", "-k", "1", "--memory", "15kB",
        "--correction", "softmax", "--background", "a",
    )  # fmt: skip
    for result in (whole, small):
        own = [one["items"] == [one["query"]] for one in result["found"]]
        assert np.mean(own) > 0.9


def test_what_is_refused(fitted, capsys):
    np.save("narrow.npy", A[:, :5])
    np.save("three.npy", np.zeros((4, 3), dtype=int))
    write_pairs("heading.csv", [["source", "target"], ["i1", "i1"]])
    write_pairs("wide.csv", [["1", "1", "1"]])
    translate = ["translate", "narrow.npy", "--map", "m.safetensors", "-o", "t.npy"]
    assert "narrow.npy has 5 features, m.safetensors takes 12" in refused(capsys, *translate)
    fit = ["fit", "a.parquet", "b.parquet", "-o", "x.safetensors", "--anchors"]
    assert "a.parquet has no item 'source'" in refused(capsys, *fit, "heading.csv")
    assert "line 1 has 3; expected two columns" in refused(capsys, *fit, "wide.csv")
    assert "expected row numbers, or ids" in refused(
        capsys, "fit", "a.npy", "b.npy", "-o", "x.safetensors", "--anchors", "heading.csv"
    )
    assert "has the suffix '.bin'" in refused(capsys, "fit", "a.npy", "b.npy", "-o", "x.bin")
    search = ["search", "a.npy", "b.npy", "--map", "m.safetensors"]
    assert "--correction and --background come together" in refused(
        capsys, *search, "--correction", "csls"
    )
    assert "give one of them" in refused(
        capsys, *search, "--correction", "csls", "--background", "a.npy", "--penalty", "p.npy"
    )
    assert "--save-penalty takes --correction" in refused(
        capsys, *search, "--save-penalty", "p.npy"
    )
    assert "--output is f.txt" in refused(capsys, *search, "-o", "f.txt")
    assert "queries has 12 features, index has 15" in refused(capsys, "search", "a.npy", "b.npy")
    assert "leave --index-map out" in refused(capsys, *search, "--index-map", "m.safetensors")
    assert "b.npy has 15 features; m.safetensors was fitted on 12" in refused(
        capsys, "evaluate", "m.safetensors", "b.npy", "a.npy"
    )
    relatum.save(relatum.RelativeProjection(3, random_state=0).fit(A), "r.safetensors")
    assert "holds a RelativeProjection; expected a translation" in refused(
        capsys, "translate", "a.npy", "--map", "r.safetensors", "-o", "t.npy"
    )


# ---- grow


@pytest.fixture
def unpaired(tmp_path, monkeypatch):
    """Two encoders' files of much the same items in other orders; a dozen seeds."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    strengths = 3.0 * np.arange(1, 25) ** -0.5
    Z = (rng.normal(size=(30, 24))[rng.integers(30, size=400)] + rng.normal(size=(400, 24))) + 1
    Z *= strengths
    order = rng.permutation(400)
    turned = Z @ np.linalg.qr(rng.normal(size=(24, 24)))[0] + 0.1 * rng.normal(size=Z.shape)
    np.save("old.npy", Z)
    np.save("new.npy", turned[order])
    place = np.argsort(order)  # item i is row place[i] of new.npy
    np.save("seeds.npy", np.stack([np.arange(12), place[:12]], axis=1))
    ids = np.array([f"i{i}" for i in range(400)])
    relatum.write_embeddings("old.parquet", Z, ids)
    relatum.write_embeddings("new.parquet", turned[order], np.array([f"j{i}" for i in order]))
    with open("seeds.csv", "w", newline="") as file:
        csv.writer(file).writerows((f"i{i}", f"j{i}") for i in range(12))
    return place


def test_grow_writes_pairs_that_fit_reads(unpaired, capsys):
    found = run_json(
        capsys, "grow", "old.npy", "new.npy", "--anchors", "seeds.npy", "-o", "pairs.npy"
    )
    pairs = np.load("pairs.npy")
    assert found["found"] is True
    assert len(pairs) == 12 + found["n_found"] > 250
    np.testing.assert_array_equal(pairs[:12], np.load("seeds.npy"))
    assert np.mean(unpaired[pairs[:, 0]] == pairs[:, 1]) > 0.95
    assert run("fit", "old.npy", "new.npy", "--anchors", "pairs.npy", "-o", "m.safetensors") == 0


def test_grow_keeps_ids(unpaired, capsys):
    assert run("grow", "old.parquet", "new.parquet", "--anchors", "seeds.csv", "-o", "p.csv") == 0
    assert "p.csv: 12 anchors and" in capsys.readouterr().out
    assert b"\r" not in Path("p.csv").read_bytes()
    with open("p.csv", newline="") as file:
        pairs = list(csv.reader(file))
    assert pairs[:12] == [[f"i{i}", f"j{i}"] for i in range(12)]
    assert np.mean([i[1:] == j[1:] for i, j in pairs]) > 0.95


def test_grow_that_fails_writes_nothing_and_ends_with_1(unpaired, capsys):
    np.save("noise.npy", np.random.default_rng(1).normal(size=(400, 24)))
    found = run_json(
        capsys, "grow", "old.npy", "noise.npy", "--anchors", "seeds.npy", "-o", "p.npy", code=1
    )
    assert (found["found"], found["n_found"], found["output"]) == (False, 0, None)

    assert not Path("p.npy").exists()


def test_grow_without_anchors(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    groups = 2 * rng.normal(size=(40, 16)) * np.linspace(2, 0.5, 16)
    X = groups[rng.integers(40, size=500)] + 0.5 * rng.normal(size=(500, 16))
    order = rng.permutation(500)
    np.save("x.npy", X)
    np.save("y.npy", (X @ np.linalg.qr(rng.normal(size=(16, 16)))[0])[order])
    found = run_json(capsys, "grow", "x.npy", "y.npy", "-o", "pairs.npy")
    pairs = np.load("pairs.npy")
    assert (found["n_anchors"], found["n_found"]) == (0, len(pairs))
    assert np.mean(order[pairs[:, 1]] == pairs[:, 0]) > 0.95


def test_grow_names_bad_input(unpaired, capsys):
    error = refused(capsys, "grow", "old.npy", "new.npy", "--anchors", "seeds.npy", "-o", "p.txt")
    assert "--output is p.txt; expected one of .csv, .tsv, .npy" in error
    error = refused(
        capsys, "grow", "old.parquet", "new.parquet", "--anchors", "seeds.csv", "-o", "p.npy"
    )
    assert "both files have ids, which go into .csv or .tsv" in error
    np.save("few.npy", np.load("seeds.npy")[:4])
    error = refused(capsys, "grow", "old.npy", "new.npy", "--anchors", "few.npy", "-o", "p.npy")
    assert "at least 5 row" in error


# ---- another encoder's vectors


@pytest.fixture
def named(folder, capsys):
    assert run("fit", "a.npy", "b.npy", "--anchors", "idx.npy", "-o", "m.safetensors",
               "--encoder", "old-1", "--target-encoder", "new-2") == 0  # fmt: skip
    capsys.readouterr()
    return folder


def test_a_map_for_another_encoder_is_refused_unless_forced(named, capsys):
    ours = ("--map", "m.safetensors", "-o", "t.npy")
    error = refused(capsys, "translate", "a.npy", *ours, "--encoder", "other")
    assert "m.safetensors was made for embeddings of old-1, --encoder is other; --force" in error
    assert not Path("t.npy").exists()
    assert run("translate", "a.npy", *ours, "--encoder", "old-1") == 0
    assert run("translate", "a.npy", *ours, "--encoder", "other", "--force") == 0
    error = refused(capsys, "translate", "b.npy", *ours, "--inverse", "--encoder", "old-1")
    assert "made for embeddings of new-2" in error
    error = refused(capsys, "search", "a.npy", "b.npy", "--map", "m.safetensors", "--encoder", "x")
    assert "made for embeddings of old-1" in error
    error = refused(capsys, "search", "a.npy", "b.npy", "--encoder", "old-1")
    assert "give --map" in error


def test_a_map_that_names_no_encoder_says_so(fitted, capsys):
    assert run("translate", "a.npy", "--map", "m.safetensors", "-o", "t.npy", "--encoder", "x") == 0
    assert "does not say which encoder it was made for" in capsys.readouterr().err


def test_rows_at_another_norm_are_warned_of(fitted, capsys):
    np.save("long.npy", 50 * A)
    assert run("translate", "long.npy", "--map", "m.safetensors", "-o", "t.npy") == 0
    assert "long.npy has rows of norm" in capsys.readouterr().err
    assert run("search", "long.npy", "b.npy", "--map", "m.safetensors") == 0
    assert "long.npy has rows of norm" in capsys.readouterr().err


# ---- a common space


def test_a_common_space_is_fitted_searched_scored_and_written(folder, capsys):
    fit = ["fit", "a.npy", "b.npy", "--anchors", "idx.npy", "--method", "common-space"]
    found = run_json(capsys, *fit, "-o", "s.safetensors", "--encoder", "old")
    assert (found["method"], found["n_features"], found["n_outputs"]) == ("common-space", D, 75)
    assert found["measured"]["n_items"] == N - 60
    assert found["measured"]["translated"]["recall_1"] > 0.95
    assert found["predicted"] is None
    space = CommonSpace().fit(A[:60], B[:60], X_background=A, y_background=B)
    scored = run_json(capsys, "evaluate", "s.safetensors", "a.npy", "b.npy", "--anchors", "idx.npy")
    assert scored["translated"] == found["measured"]["translated"]
    expected = relatum.search(space.transform(A[:5]), space.transform_target(B), 3)
    np.save("q.npy", A[:5])
    hits = run_json(capsys, "search", "q.npy", "b.npy", "--map", "s.safetensors", "-k", "3")
    assert [one["items"] for one in hits["found"]] == expected[1].tolist()
    sides = (
        ("a.npy", [], space.transform(A)),
        ("b.npy", ["--of-target"], space.transform_target(B)),
    )
    for name, option, rows in sides:
        command = ["translate", name, "--map", "s.safetensors", "-o", "c.npy", *option]
        assert run_json(capsys, *command)["n_outputs"] == 75
        np.testing.assert_allclose(np.load("c.npy"), rows, atol=1e-5)


def test_what_does_not_go_with_a_common_space_is_refused(folder, capsys):
    fit = ("fit", "a.npy", "b.npy", "-o", "m.safetensors", "--anchors", "idx.npy")
    message = refused(capsys, *fit, "--method", "common-space", "--min-retention", "0.5")
    assert "of which a common space has none" in message
    assert "--min-retention is 1.5" in refused(capsys, *fit, "--min-retention", "1.5")
    assert "common-space" in refused(capsys, *fit, "--method", "ridg")
    fit = ["fit", "a.npy", "b.npy", "--anchors", "idx.npy", "--method", "common-space"]
    run_json(capsys, *fit, "-o", "s.safetensors")
    out = ["--map", "s.safetensors", "-o", "c.npy"]
    assert run("translate", "a.npy", *out, "--inverse") == 2
    assert "s.safetensors is a common space; leave --inverse" in capsys.readouterr().err
    assert run("translate", "b.npy", *out) == 2
    assert f"b.npy has 15 features; expected {D}" in capsys.readouterr().err
    assert run("search", "a.npy", "b.npy", "--map", "s.safetensors", "--index-map", "x") == 2
    assert "brings queries and index into one space" in capsys.readouterr().err
    run_json(capsys, "fit", "a.npy", "b.npy", "--anchors", "idx.npy", "-o", "m.safetensors")
    assert run("translate", "a.npy", "--map", "m.safetensors", "-o", "c.npy", "--of-target") == 2
    assert "--of-target goes with a common space" in capsys.readouterr().err


def test_reports_of_fit_and_evaluate(folder, capsys):
    pytest.importorskip("jinja2")
    arguments = ["fit", "a.parquet", "b.parquet", "--anchors", "idx.npy", "-o", "m.safetensors"]
    assert run(*arguments, "--html", "fit.html") == 0
    text = Path("fit.html").read_text(encoding="utf-8")
    assert "a translated into b" in text
    assert "i200" in text  # ids of the items
    capsys.readouterr()
    found = run_json(capsys, "evaluate", "m.safetensors", "a.parquet", "b.parquet", "--anchors",
                     "idx.npy", "--html", "evaluate.html")  # fmt: skip
    assert found["html"] == "evaluate.html"
    assert "redicted" in Path("evaluate.html").read_text(encoding="utf-8")


def test_a_report_needs_items_that_are_no_anchors(folder, capsys):
    pytest.importorskip("jinja2")
    message = refused(capsys, "fit", "a.npy", "b.npy", "-o", "m.safetensors", "--html", "r.html")
    assert "--html shows items that are no anchors; a.npy and b.npy have 0" in message
    assert not Path("m.safetensors").exists()
