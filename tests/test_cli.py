"""The command line: what it writes, what it prints where, and its exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import relatum
from relatum import _terminal, cli, vectors
from relatum._cli_options import parse_similarity

N = 240


def spaces() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two spaces of the same items, and labels that both can tell."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(N, 8))
    Q, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    A = np.hstack([Z, 0.1 * rng.normal(size=(N, 4))])
    return A, 3 * A @ Q + 0.05 * rng.normal(size=(N, 12)), Z[:, :3].argmax(1)


A, B, Y = spaces()
IDS = np.array([f"i{i}" for i in range(N)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with embeddings in two encoders, as plain arrays and as tables with ids."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", A)
    np.save("b.npy", B)
    order = np.random.default_rng(1).permutation(N)[:230]
    relatum.write_embeddings("a.parquet", A, IDS)
    relatum.write_embeddings("b.parquet", B[order], IDS[order])
    np.save("idx.npy", np.arange(40))
    return tmp_path


def run(*arguments: str) -> int:
    return cli.main([str(a) for a in arguments])


def run_json(capsys, *arguments: str, code: int = 0) -> dict:
    """Run with --json: exactly one object on standard output."""
    assert run(*arguments, "--json") == code, capsys.readouterr().err
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def refused(capsys, *arguments: str) -> str:
    """Run something wrong: exit code 2, nothing on standard output, one line of error."""
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("relatum: error: ")
    return lines[0]


# ---- help, version, start-up


def test_version_and_help(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"relatum {relatum.__version__}\n"
    assert run("--help") == 0
    text = capsys.readouterr().out
    for command in ("demo", "anchors", "project", "compare", "stitch", "info"):
        assert f"\n  {command} " in text
        assert run(command, "--help") == 0
        assert f"Example: relatum {command}" in capsys.readouterr().out
    assert "..." not in text.split("Commands:")[1], "a short help is cut off"


def test_without_a_command_the_help_goes_to_standard_error(capsys):
    assert run() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage: relatum" in captured.err


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from relatum.cli import main; main(['--help'])\n"
        "print([m for m in ('scipy', 'sklearn', 'torch', 'pyarrow', 'faiss') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.endswith("[]\n"), result.stdout + result.stderr


def test_wrong_use(capsys):
    assert "No such command 'nonsense'" in refused(capsys, "nonsense")
    assert "Missing argument 'EMB'" in refused(capsys, "project")
    assert "No such option: --nonsense" in refused(capsys, "info", "--nonsense", "x")


def test_the_program_in_a_process_of_its_own(folder):
    def program(*arguments, data=b""):
        command = [
            sys.executable,
            "-c",
            "import sys; from relatum.cli import main; sys.exit(main())",
        ]
        return subprocess.run([*command, *arguments], input=data, capture_output=True)

    missing = program("info", "nothing.npy")
    assert missing.returncode == 2
    assert missing.stderr == b"relatum: error: nothing.npy: no such file; expected embeddings\n"
    piped = program(
        "project", "-", "--anchors", "idx.npy", "-o", "-", data=Path("a.npy").read_bytes()
    )
    assert piped.returncode == 0, piped.stderr
    R = np.load(io.BytesIO(piped.stdout))
    np.testing.assert_allclose(R, relatum.relative_projection(A, A[:40]))
    assert b"n_outputs" in piped.stderr


# ---- anchors


@pytest.mark.parametrize("method", ["uniform", "farthest_point", "kmeans", "pivoted_cholesky"])
def test_anchors(method, folder, capsys):
    result = run_json(capsys, "anchors", "a.npy", "-n", "20", "--method", method, "-o", "i.npy")
    rows = np.load("i.npy")
    np.testing.assert_array_equal(
        rows, relatum.select_anchors(A, 20, method=method, random_state=0)
    )
    assert result["n_anchors"] == len(set(rows.tolist())) == 20
    assert result["rank"] == 12
    assert (
        run("anchors", "a.npy", "-n", "20", "--method", method, "-o", "j.npy", "--seed", "0") == 0
    )
    assert Path("i.npy").read_bytes() == Path("j.npy").read_bytes()
    assert "n_anchors       20" in capsys.readouterr().out


def test_anchors_by_class_and_by_frequency(folder, capsys):
    Path("y.csv").write_text("label\n" + "\n".join(map(str, Y)))
    run_json(capsys, "anchors", "a.parquet", "-n", "30", "--method", "stratified",
             "--labels", "y.csv", "-o", "i.npy")  # fmt: skip
    assert np.bincount(Y[np.load("i.npy")]).tolist() == [10, 10, 10]
    np.save("counts.npy", np.arange(N))
    run_json(capsys, "anchors", "a.npy", "-n", "3", "--method", "most_frequent",
             "--frequencies", "counts.npy", "-o", "i.npy")  # fmt: skip
    assert np.load("i.npy").tolist() == [239, 238, 237]


def test_anchors_go_to_standard_output(folder, capfdbinary):
    assert cli.main(["anchors", "a.npy", "-n", "5", "-o", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert np.load(io.BytesIO(out)).shape == (5,)
    assert b"n_anchors" in err


def test_anchors_refuses(folder, capsys):
    say = lambda *a: refused(capsys, "anchors", "a.npy", *a)  # noqa: E731
    assert "n_anchors is 500; expected at most 240 (the rows of X)" in say(
        "-n", "500", "-o", "i.npy"
    )
    assert "method is 'kmean' (did you mean 'kmeans'?)" in say("--method", "kmean", "-o", "i.npy")
    assert "method 'stratified' needs labels" in say(
        "--method", "stratified", "-n", "9", "-o", "i.npy"
    )
    assert "--labels goes with --method stratified" in say("--labels", "y.txt", "-o", "i.npy")
    assert "--output is i.parquet; expected .npy, or -" in say("-o", "i.parquet")
    assert "both take standard output" in say("-o", "-", "--json")
    assert "no such folder" in say("-o", "none/i.npy")
    assert "Invalid value for '--n-anchors'" in say("-n", "0", "-o", "i.npy")
    assert "--column and --id-column name a column of" in say("--column", "x", "-o", "i.npy")
    assert not Path("i.npy").exists()


def test_anchors_that_collapse_are_warned_of_in_one_line(folder, capsys):
    np.save("flat.npy", np.outer(np.arange(1, 31), np.ones(6)))
    assert run("anchors", "flat.npy", "-n", "9", "-o", "i.npy") == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert all(line.startswith("relatum: warning: anchors has ") for line in lines)
    assert any("the projection collapses" in line for line in lines)


# ---- project


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".safetensors"])
def test_project_writes_every_format_with_ids(suffix, folder, capsys):
    output = f"r{suffix}"
    result = run_json(capsys, "project", "a.parquet", "--anchors", "idx.npy", "--center",
                      "--whiten", "0.3", "-o", output)  # fmt: skip
    R, ids = relatum.read_embeddings(output)
    expected = relatum.relative_projection(A, A[:40], center=True, whiten=0.3)
    np.testing.assert_allclose(R, expected)
    assert (ids is None) == (suffix == ".npy")
    assert ids is None or ids.tolist() == IDS.tolist()
    assert result["n_outputs"] == 40
    assert result["whiten"] == 0.3


def test_project_says_that_npy_has_no_ids(folder, capsys):
    assert run("project", "a.parquet", "--anchors", "idx.npy", "-o", "r.npy") == 0
    err = capsys.readouterr().err
    assert (
        err == "relatum: warning: r.npy: .npy cannot hold the ids of a.parquet; they are left out\n"
    )


def test_project_onto_embeddings_and_products(folder, capsys):
    np.save("anchors.npy", A[5:25])
    run_json(capsys, "project", "a.npy", "--anchors", "anchors.npy", "-o", "r.npy",
             "--similarity", "cosine", "--similarity", "geodesic:n_neighbors=5",
             "--precision", "float32")  # fmt: skip
    expected = relatum.relative_projection(
        A, A[5:25], similarity=["cosine", ("geodesic", {"n_neighbors": 5})], precision="float32"
    )
    assert np.load("r.npy").dtype == np.float32
    np.testing.assert_allclose(np.load("r.npy"), expected, rtol=1e-4, atol=1e-5)


def test_a_saved_projection_does_the_same_later(folder, capsys):
    named = ("--save", "map.safetensors", "--encoder", "mine", "--encoder-revision", "1")
    run_json(
        capsys, "project", "a.parquet", "--anchors", "idx.npy", "--center", "-o", "r.npz", *named
    )
    result = run_json(capsys, "project", "a.npy", "--map", "map.safetensors", "-o", "s.npy")
    assert result["center"] is True
    np.testing.assert_array_equal(np.load("s.npy"), relatum.read_embeddings("r.npz").array)
    found = run_json(capsys, "info", "map.safetensors")
    assert (found["encoder"], found["encoder_revision"]) == ("mine", "1")
    assert relatum.load("map.safetensors").anchor_ids_.tolist() == IDS[:40].tolist()


def test_project_refuses(folder, capsys):
    say = lambda *a: refused(capsys, "project", *a, "-o", "r.npy")  # noqa: E731
    assert "project takes --anchors" in say("a.npy")
    relatum.save(relatum.RelativeProjection().fit(A[:9]), "map.safetensors")
    assert "--map has its own settings" in say("a.npy", "--map", "map.safetensors", "--center")
    relatum.save(relatum.HeadNormalizer().fit(A), "head.safetensors")
    assert "head.safetensors holds a HeadNormalizer; expected a relative projection" in say(
        "a.npy", "--map", "head.safetensors"
    )
    both = say("-", "--anchors", "-")
    assert "- (standard input) can be one file only" in both
    for bad, message in (
        ("cosin", "similarity is 'cosin' (did you mean 'cosine'?)"),
        ("geodesic:", "--similarity is 'geodesic:'; expected a name, or name:key=value"),
        ("geodesic:k=5", "similarity 'geodesic' has no parameter 'k'; it has"),
    ):
        assert message in say("a.npy", "--anchors", "idx.npy", "--similarity", bad)
    args = ("a.npy", "--anchors", "idx.npy")
    assert "whiten is -1.0; expected a finite number >= 0" in say(*args, "--whiten", "-1")
    assert "precision is 'half'; expected one of" in say(*args, "--precision", "half")
    assert "expected .safetensors" in say(*args, "--save", "map.pkl")
    np.save("wide.npy", np.ones((5, 13)))
    assert "wide.npy has 13 features, a.npy has 12" in say("a.npy", "--anchors", "wide.npy")
    np.save("nan.npy", np.where(np.arange(N)[:, None] == 200, np.nan, A))
    assert "NaN or infinity in 1 row: 200" in say("nan.npy", "--anchors", "idx.npy")
    assert not Path("r.npy").exists()


# ---- compare


QUICK = ("--measure", "cka", "--measure", "mean_reciprocal_rank", "--n-samples", "200")


def test_compare_prints_a_table_or_json(folder, capsys):
    args = ("compare", "a.npy", "b.npy", "--anchors", "idx.npy", "-k", "5", "--center", *QUICK)
    found = run_json(capsys, *args)
    assert set(found["results"]) == {"cka", "mean_reciprocal_rank"}
    measures = ["cka", "mean_reciprocal_rank"]
    expected = relatum.compare(
        A, B, np.arange(40), k=5, center=True, n_samples=200, measures=measures, random_state=0
    )
    assert found["results"] == json.loads(json.dumps(expected.to_dict()["results"]))
    assert run(*args) == 0
    assert capsys.readouterr().out.strip() == str(expected)


def test_compare_pairs_by_ids(folder, capsys):
    found = run_json(capsys, "compare", "a.parquet", "b.parquet", "--anchors", "idx.npy", *QUICK)
    assert found["settings"]["n_rows_given"] == 230
    assert found["results"]["mean_reciprocal_rank"]["value"] > 0.8
    plain = vectors.Embeddings(*relatum.read_embeddings("b.parquet"))
    np.save("shuffled.npy", plain.array)
    np.save("short.npy", A[:230])
    by_place = run_json(capsys, "compare", "short.npy", "shuffled.npy", "-n", "40", *QUICK)
    assert by_place["results"]["mean_reciprocal_rank"]["value"] < 0.2
    assert any("do not look parallel" in w for w in by_place["warnings"])


def test_compare_maps_anchors_through_the_ids(folder, capsys):
    have = set(relatum.read_embeddings("b.parquet").ids.tolist())
    missing = [i for i in range(N) if IDS[i] not in have]
    np.save("idx.npy", [*missing[:2], *[i for i in range(40) if IDS[i] in have]])
    assert run("compare", "a.parquet", "b.parquet", "--anchors", "idx.npy", *QUICK) == 0
    text = f"idx.npy: b.parquet lacks the items of 2 rows: {missing[0]}, {missing[1]}; "
    assert text in capsys.readouterr().err
    np.save("idx.npy", missing[:3])
    message = refused(capsys, "compare", "a.parquet", "b.parquet", "--anchors", "idx.npy", *QUICK)
    assert "expected anchors that both files have" in message


def test_ids_that_are_numbers_here_and_text_there_are_the_same(folder, capsys):
    relatum.write_embeddings("n.npz", A, np.arange(N))
    relatum.write_embeddings("t.npz", B[::-1], [str(i) for i in reversed(range(N))])
    found = run_json(capsys, "compare", "n.npz", "t.npz", "--anchors", "idx.npy", *QUICK)
    assert found["results"]["mean_reciprocal_rank"]["value"] > 0.8


def test_compare_takes_anchors_from_elsewhere(folder, capsys):
    relatum.write_embeddings("aa.npz", A[:50], IDS[:50])
    relatum.write_embeddings("ba.npz", B[49:9:-1], IDS[49:9:-1])
    found = run_json(capsys, "compare", "a.npy", "b.npy", "--anchors", "aa.npz",
                     "--anchors-b", "ba.npz", *QUICK)  # fmt: skip
    assert found["settings"]["n_anchors"] == 40
    assert found["results"]["mean_reciprocal_rank"]["value"] > 0.8


def test_gates(folder, capsys):
    args = ("compare", "a.npy", "b.npy", "--anchors", "idx.npy", *QUICK)
    gates = ("--gate", "cka=0.5", "--gate", "procrustes_distance=1.5")
    assert run_json(capsys, *args, *gates)["gates_failed"] == []
    assert run(*args, "--gate", "cka=1.1", "--gate", "procrustes_distance=0") == 1
    captured = capsys.readouterr()
    assert "cka" in captured.out
    assert captured.err.count("relatum: gate failed: ") == 2
    assert "the gate 1.1" in captured.err
    assert run_json(capsys, *args, "--gate", "cka=1.1", code=1)["gates_failed"]
    assert "--gate is 'nope'; expected one of" in refused(capsys, *args, "--gate", "nope=1")
    assert "--gate is 'cka=high'; expected MEASURE=NUMBER" in refused(
        capsys, *args, "--gate", "cka=high"
    )


def test_compare_writes_a_report(folder, capsys):
    pytest.importorskip("jinja2")
    Path("y.txt").write_text("\n".join(map(str, Y)))
    found = run_json(capsys, "compare", "a.parquet", "b.parquet", "--anchors", "idx.npy",
                     "--html", "report.html", "--labels", "y.txt", *QUICK)  # fmt: skip
    assert found["html"] == "report.html"
    assert "<html" in Path("report.html").read_text()


def test_a_missing_extra_names_the_install_line(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    message = refused(capsys, "compare", "a.npy", "b.npy", "--html", "r.html")
    assert message.endswith("--html needs jinja2; install it with: pip install 'relatum[plot]'")


def test_compare_refuses(folder, capsys):
    say = lambda *a: refused(capsys, "compare", *a)  # noqa: E731
    np.save("short.npy", A[:9])
    assert "a.npy has 240 rows, short.npy has 9; expected the same" in say("a.npy", "short.npy")
    relatum.write_embeddings("other.npz", A, [f"x{i}" for i in range(N)])
    message = say("a.parquet", "other.npz")
    assert "a.parquet (x) and other.npz (y): ids_x and ids_y have no id in common" in message
    assert "--anchors-b comes with --anchors" in say("a.npy", "b.npy", "--anchors-b", "b.npy")
    message = say("a.npy", "b.npy", "--anchors", "a.npy")
    assert "expected row numbers" in message
    assert "(embeddings of anchors come with --anchors-b)" in message
    np.save("far.npy", [1, 999])
    assert "far.npy has row numbers from 1 to 999" in say("a.npy", "b.npy", "--anchors", "far.npy")
    assert "measures is 'ckaa' (did you mean 'cka'?)" in say("a.npy", "b.npy", "--measure", "ckaa")
    assert "no such folder" in say("a.npy", "b.npy", "--html", "none/r.html")


# ---- stitch


@pytest.fixture
def parts(folder):
    relatum.write_embeddings("train.npz", A[:140], IDS[:140])
    relatum.write_embeddings("test.npz", B[140:], IDS[140:])
    Path("y.txt").write_text("\n".join(map(str, Y[:140])))
    np.save("y2.npy", Y[140:])
    relatum.write_embeddings("aa.npz", A[:60], IDS[:60])
    relatum.write_embeddings("ba.npz", B[70:20:-1], IDS[70:20:-1])
    reverse = slice(None, 139, -1)
    relatum.write_embeddings("native.npz", A[reverse], IDS[reverse])
    return (
        *("stitch", "--train-x", "train.npz", "--train-y", "y.txt"),
        *("--test-x", "test.npz", "--test-y", "y2.npy"),
        *("--anchors-train", "aa.npz", "--anchors-test", "ba.npz"),
    )


@pytest.mark.parametrize("head", ["ridge", "logistic"])
@pytest.mark.parametrize("normalize", ["none", "inductive", "transductive"])
def test_stitch_pairs_by_ids_and_keeps_quality(head, normalize, parts, capsys):
    found = run_json(capsys, *parts, "--head", head, "--normalize", normalize, "--center",
                     "--whiten", "0.3", "--native-x", "native.npz")  # fmt: skip
    assert found["n_anchors"] == 39
    assert found["native"]["weighted_f1"] > 0.8
    assert found["retention"] > 0.9
    assert found["retention"] == pytest.approx(
        found["stitched"]["weighted_f1"] / found["native"]["weighted_f1"]
    )
    assert found["absolute"]["weighted_f1"] < 0.7  # same width, another space
    assert found["native_on"] == "the test items in the training encoder"


def test_stitch_prints_a_table_and_says_what_native_is(parts, capsys):
    assert run(*parts) == 0
    text = capsys.readouterr().out
    for word in ("native ", "stitched ", "absolute ", "chance ", "retention "):
        assert f"\n{word}" in text
    assert "native on 5-fold cross-validation on the training set" in text
    np.save("narrow.npy", B[140:, :9])
    np.save("narrow_anchors.npy", B[:60, :9])
    np.save("anchors.npy", A[:60])
    changed = [{"test.npz": "narrow.npy", "ba.npz": "narrow_anchors.npy"}.get(a, a) for a in parts]
    changed[changed.index("aa.npz")] = "anchors.npy"
    assert run(*changed) == 0
    assert "absolute          n/a       n/a" in capsys.readouterr().out


def test_the_gate_on_retention(parts, capsys):
    assert run(*parts, "--min-retention", "0.3") == 0
    capsys.readouterr()
    assert run(*parts, "--min-retention", "1.5") == 1
    captured = capsys.readouterr()
    assert "retention " in captured.out
    assert captured.err.startswith("relatum: gate failed: retention is ")
    assert run_json(capsys, *parts, "--min-retention", "1.5", code=1)["gates_failed"]


def test_stitch_refuses(parts, capsys):
    def say(*changes: str) -> str:
        swap = dict(zip(changes[::2], changes[1::2], strict=True))
        return refused(capsys, *[swap.get(a, a) for a in parts])

    Path("few.txt").write_text("0\n1\n")
    assert "few.txt has 2 labels, train.npz has 140 rows; expected one" in say("y.txt", "few.txt")
    np.save("ba.npy", B[:33])
    assert "aa.npz has 60 rows, ba.npy has 33" in say("ba.npz", "ba.npy")
    np.save("wide.npy", np.ones((60, 13)))
    assert "wide.npy has 13 features, train.npz has 12" in say("aa.npz", "wide.npy")
    Path("one.txt").write_text("1\n" * 140)
    assert "train_y has one class, 1; expected at least 2" in say("y.txt", "one.txt")
    np.save("other.npy", Y[140:] + 10)
    assert "test_y and train_y have no class in common" in say("y2.npy", "other.npy")
    message = refused(capsys, *parts, "--head", "tree")
    assert "head is 'tree'; expected one of ridge, logistic" in message
    message = refused(capsys, *parts, "--normalize", "both")
    assert "normalize is 'both'; expected one of none, inductive, transductive" in message
    message = refused(capsys, *parts, "--native-x", "aa.npz")
    assert "aa.npz (y): ids_x and ids_y have no id in common" in message
    relatum.write_embeddings("part.npz", A[150:], IDS[150:])
    message = refused(capsys, *parts, "--native-x", "part.npz")
    assert "part.npz lacks the items of test.npz in 10 rows: 0, 1, 2" in message


def test_anchors_that_are_not_parallel_are_said(parts, capsys):
    np.save("aa.npy", A[:60])
    np.save("ba.npy", B[np.random.default_rng(5).permutation(60)])
    changed = [{"aa.npz": "aa.npy", "ba.npz": "ba.npy"}.get(a, a) for a in parts]
    assert run_json(capsys, *changed)["anchors_parallel"] is False
    assert run(*changed) == 0
    err = capsys.readouterr().err
    assert "relatum: warning: anchors_x and anchors_y do not look parallel" in err
    assert err.count("\n") == 1


# ---- info


def test_info(folder, capsys):
    found = run_json(capsys, "info", "b.parquet")
    assert found["n_rows"] == 230
    assert (found["n_features"], found["dtype"], found["ids"]) == (12, "float64", "strings")
    ids = relatum.read_embeddings("b.parquet").ids
    assert (found["first_id"], found["last_id"]) == (ids[0], ids[-1])
    assert run_json(capsys, "info", "a.npy")["ids"] == "none"
    assert run_json(capsys, "info", "idx.npy")["n_rows"] == 40
    relatum.write_embeddings("a.safetensors", A, np.arange(N))
    assert run_json(capsys, "info", "a.safetensors")["ids"] == "integers"
    relatum.save(relatum.RelativeProjection(center=True).fit(A[:9]), "map.safetensors")
    found = run_json(capsys, "info", "map.safetensors")
    assert found["kind"] == "relative-projection"
    assert found["space"]["n_anchors"] == 9
    assert run("info", "map.safetensors") == 0
    assert "space.center" in capsys.readouterr().out


def test_info_checks_the_hashes(folder, capsys):
    relatum.save(relatum.RelativeProjection().fit(A[:9]), "map.safetensors")
    data = bytearray(Path("map.safetensors").read_bytes())
    data[-9] ^= 1
    Path("map.safetensors").write_bytes(data)
    assert "map.safetensors is damaged" in refused(capsys, "info", "map.safetensors")


# ---- demo


def test_demo_without_its_extra_names_the_install_line(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    message = refused(capsys, "demo", "-o", "out")
    assert "install it with: pip install 'relatum[" in message


def test_demo_hands_its_options_on(folder, capsys, monkeypatch):
    demo = pytest.importorskip("relatum.demo")
    seen = {}

    def fake(out, **more):
        seen.update(more, out=out)
        more["console"].print("working")
        return {"f1": np.float64(0.5), "none": float("nan")}

    monkeypatch.setattr(demo, "run", fake)
    assert run("demo", "-o", "out", "--quick", "--seed", "3", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"f1": 0.5, "none": None}
    assert captured.err == "working\n"
    assert (seen["out"], seen["quick"], seen["seed"]) == ("out", True, 3)


# ---- the terminal


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError("Unable to allocate 9 EiB"), 2, "not enough memory: Unable to allocate 9 EiB"),
        (OSError(28, "No space left on device"), 2, "[Errno 28] No space left on device"),
        (ValueError("two\nlines"), 2, "two lines"),
        (ValueError(), 2, "ValueError"),
    ],
    ids=repr,
)
def test_errors_end_in_one_line_and_a_code(error, code, text, folder, capsys, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("relatum._cli_inputs.describe", fail)
    assert run("info", "a.npy") == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert text in captured.err
    assert captured.err.count("\n") <= 1


def test_a_fault_of_the_program_keeps_its_traceback(folder, monkeypatch):
    def fail(*_, **__):
        raise KeyError("bug")

    monkeypatch.setattr("relatum._cli_inputs.describe", fail)
    with pytest.raises(KeyError, match="bug"):
        run("info", "a.npy")


def test_a_reader_that_has_gone_is_no_error(folder, capsys, monkeypatch):
    def fail(*_, **__):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr("relatum._cli_inputs.describe", fail)
    assert run("info", "a.npy") == 141  # not 1, which says that a gate failed
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("project", "a.npy", "--anchors", "idx.npy", "-o", "a.npy"),
        ("project", "a.npy", "--anchors", "idx.npy", "-o", "./idx.npy"),
        ("anchors", "a.npy", "-n", "5", "-o", "a.npy"),
    ],
)
def test_an_input_is_never_overwritten(arguments, folder, capsys):
    np.save("idx.npy", np.arange(10))
    before = [Path(name).read_bytes() for name in ("a.npy", "idx.npy")]
    assert run(*arguments) == 2
    assert "is both input and output; write to another file" in capsys.readouterr().err
    assert [Path(name).read_bytes() for name in ("a.npy", "idx.npy")] == before


def test_a_gate_is_a_number(folder, capsys):
    for text in ("cka=nan", "cka=x"):
        assert run("compare", "a.npy", "b.npy", "--gate", text) == 2
        assert f"--gate is {text!r}; expected MEASURE=NUMBER" in capsys.readouterr().err


def test_warnings_of_others_are_one_line_too(capsys):
    import warnings

    def command():
        warnings.warn("first\nsecond", UserWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    assert _terminal.run(command) == 0
    assert capsys.readouterr().err == "relatum: warning: first second\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [None, 10])
def test_progress_shows_after_a_delay_on_a_terminal_only(total, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(_terminal, "DELAY", 0.02)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with _terminal.Progress("first", total) as bar:
        bar.advance_to(1)
        time.sleep(0.2)
        bar.step("second step")
        bar.advance_to(7)
        time.sleep(0.2)
        shown = sys.stderr.getvalue()
    assert "second step" in shown or "second step" in sys.stderr.getvalue()
    assert total is None or "7/10" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with _terminal.Progress("first", total):
        time.sleep(0.1)
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(_terminal, "DELAY", 60.0)
    with _terminal.Progress("first", total) as bar:
        bar.advance_to(3)
    assert sys.stderr.getvalue() == ""


def test_specs_of_similarities():
    assert parse_similarity(None) == "cosine"
    assert parse_similarity(["angular"]) == "angular"
    assert parse_similarity(["cosine", "quantised:threshold=0.5,method=kmeans"]) == [
        "cosine",
        ("quantised", {"threshold": 0.5, "method": "kmeans"}),
    ]
