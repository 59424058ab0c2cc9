"""The commands around relative representations: choose, project, compare, stitch, look."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from relatum import _cli_options as options
from relatum import _cli_results as results
from relatum import _terminal


def anchors(
    embeddings: options.Source,
    output: options.Rows,
    n_anchors: options.HowMany = 300,
    method: options.Method = "uniform",
    labels: options.Classes = None,
    frequencies: options.Frequencies = None,
    seed: options.Seed = 0,
    memory: options.Memory = "1GB",
    column: options.Column = None,
    label_column: options.LabelColumn = None,
    as_json: options.Json = False,
) -> None:
    """Choose anchors.

    Writes the row numbers of the anchors, for --anchors of the other commands.
    Embeddings may be larger than memory.

    Example: relatum anchors a.npy -n 300 --method kmeans --seed 0 -o idx.npy
    """
    from relatum import vectors
    from relatum._cli_inputs import Columns, check_output, read_labels
    from relatum._cli_streaming import parse_bytes
    from relatum.anchors import anchor_diagnostics, select_anchors

    check_output(output, as_json, inputs=[embeddings, labels, frequencies], only_npy=True)
    if labels is not None and method != "stratified":
        raise ValueError("--labels goes with --method stratified")
    columns = Columns(column)
    columns.check(embeddings)
    X = columns.open(embeddings)
    with _terminal.Progress(f"choosing anchors ({method})"):
        rows = select_anchors(
            X, n_anchors, method=method, random_state=seed, memory=parse_bytes(memory),
            labels=None if labels is None else read_labels(labels, label_column),
            frequencies=None if frequencies is None else vectors.read_indices(frequencies),
        )  # fmt: skip
    result: dict[str, Any] = {"embeddings": embeddings, "method": method, "seed": seed,
                              "n_rows": X.n_rows, "n_anchors": len(rows)}  # fmt: skip
    if len(rows) > 1:
        found = anchor_diagnostics(vectors.take(X, rows))
        result |= {"rank": found.rank, "effective_rank": found.effective_rank,
                   "n_repeated": found.n_repeated}  # fmt: skip
    vectors.write_array(output, rows)
    results.report(result | {"output": output}, as_json, output)


def project(
    embeddings: options.Projected,
    output: options.Output,
    anchors: options.Onto = None,
    map_file: options.Map = None,
    similarity: options.Similarity = None,
    center: options.Center = False,
    whiten: options.Whiten = None,
    precision: options.Precision = None,
    dtype: options.Dtype = None,
    memory: options.Memory = "1GB",
    restart: options.Restart = False,
    dry_run: options.DryRun = False,
    engine: options.EngineName = "threads",
    workers: options.Workers = None,
    device: options.Device = None,
    save: options.Save = None,
    encoder: options.Encoder = None,
    encoder_revision: options.Revision = None,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Write relative representations.

    Embeddings and result may be larger than memory. What was interrupted goes on
    where it was. --save keeps the projection, --map uses one that was kept.

    Example: relatum project a.parquet --anchors idx.npy --center --whiten 0.3 -o r.parquet
    """
    from relatum import _cli_inputs, _cli_streaming, artifact
    from relatum.row_maps import projection_of_rows

    _cli_inputs.check_output(
        output, as_json, inputs=[embeddings, anchors, map_file], folders=True, saved=save
    )
    columns = _cli_inputs.Columns(column, id_column)
    columns.check(embeddings, anchors)
    source = _cli_streaming.open_source(embeddings, output, columns)
    if map_file is None:
        projection, fitted = _cli_inputs.fitted_projection(
            columns, embeddings, source, anchors, save is not None, center=center, whiten=whiten,
            similarity=options.parse_similarity(similarity),
        )  # fmt: skip
    elif anchors or similarity or center or whiten is not None:
        raise ValueError(
            "--map has its own settings; leave --anchors, --similarity, --center, --whiten out"
        )
    else:
        projection, fitted = _cli_inputs.load_projection(map_file)
    if device is None:
        rows = projection_of_rows(projection, precision)
    else:
        from relatum.device_maps import projection_on_device

        rows = projection_on_device(projection, device, precision)
    found = _cli_streaming.stream(
        source, rows, output, doing="projecting",
        memory=memory, dtype=dtype, restart=restart, dry_run=dry_run, as_json=as_json,
        engine=engine, workers=workers,
    )  # fmt: skip
    if save is not None and not dry_run:
        artifact.save(fitted, save, encoder=encoder, encoder_revision=encoder_revision)
    space = projection.space
    about = {"n_anchors": space.n_anchors, "similarity": list(space.similarity),
             "center": space.center, "whiten": space.whiten, "saved": save}  # fmt: skip
    results.report({"embeddings": embeddings, **about, **found}, as_json, output)


def compare(
    a: options.SpaceA,
    b: options.SpaceB,
    anchors: options.AnchorsA = None,
    anchors_b: options.AnchorsB = None,
    k: options.Neighbours = 10,
    similarity: options.Similarity = None,
    center: options.Center = False,
    whiten: options.Whiten = None,
    n_anchors: options.Drawn = 300,
    n_samples: options.Samples = 5000,
    measures: options.Measures = None,
    gate: options.Gates = None,
    html: options.Html = None,
    labels: options.Labels = None,
    label_column: options.LabelColumn = None,
    all_rows: options.AllRows = False,
    seed: options.Seed = 0,
    memory: options.Memory = "1GB",
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Say how alike two spaces are.

    Every measure, with what it is by chance beside it. Rows are paired by id where
    both files have ids, else by place. Of files larger than memory only the rows that
    are compared are read; --all-rows adds CKA, CCA and Procrustes over all.

    Example: relatum compare a.npy b.npy --anchors idx.npy --center --whiten 0.3
    """
    from relatum._cli_comparison import comparison_inputs
    from relatum._cli_inputs import Columns, check_html
    from relatum._cli_streaming import parse_bytes
    from relatum.comparison import compare as compare_spaces

    gates = options.parse_gates(gate)
    specs = options.parse_similarity(similarity)
    check_html(html)
    limit = parse_bytes(memory)
    given = comparison_inputs(
        (a, b), anchors, anchors_b, Columns(column, id_column), labels, label_column,
        n_rows=n_samples + n_anchors if n_samples else sys.maxsize, memory=limit, seed=seed,
    )  # fmt: skip
    with _terminal.Progress("comparing") as bar:
        found = compare_spaces(
            given.X, given.Y, given.anchors, k=k, similarity=specs, center=center, whiten=whiten,
            measures=sorted({*measures, *gates}) if measures else None, n_anchors=n_anchors,
            n_samples=n_samples or None, random_state=seed, progress=bar.step,
        )  # fmt: skip
    if all_rows:
        with _terminal.Progress("comparing all rows", 3 * given.n_shared) as bar:
            found = replace(found, all_rows=given.all_rows(limit, bar.advance_to))
    if html is not None:
        from relatum.report import comparison_report

        with _terminal.Progress("writing the report"):
            comparison_report(
                html, given.X, given.Y, given.anchors, found, labels=given.labels, ids=given.ids,
                names=given.names, similarity=specs, random_state=seed,
            )  # fmt: skip
    failed = options.failed_gates(gates, found)
    _terminal.report(
        {"a": a, "b": b, "n_shared": given.n_shared, **found.to_dict(), "html": html,
         "gates_failed": failed}, str(found), as_json=as_json,
    )  # fmt: skip
    results.fail(failed)


def stitch(
    train_x: options.TrainX,
    train_y: options.TrainY,
    test_x: options.TestX,
    test_y: options.TestY,
    anchors_train: options.TrainAnchors,
    anchors_test: options.TestAnchors,
    native_x: options.NativeX = None,
    head: options.Head = "ridge",
    normalize: options.Normalize = "none",
    similarity: options.Similarity = None,
    center: options.Center = False,
    whiten: options.Whiten = None,
    min_retention: options.MinRetention = None,
    seed: options.Seed = 0,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    label_column: options.LabelColumn = None,
    as_json: options.Json = False,
) -> None:
    """Run the head of one encoder on another.

    Trains a head on the relative space of A's encoder and scores it on that of
    B's. Anchors are embeddings of the same items in both encoders (paired by id where
    both have ids), or row numbers of A and of B.

    Example: relatum stitch --train-x a.npy --train-y y.txt --test-x b.npy --test-y y2.txt
    --anchors-train aa.npy --anchors-test ba.npy --center --whiten 0.3
    """
    from relatum._cli_inputs import Columns, stitch_inputs
    from relatum.retention import stitch_scores

    specs = options.parse_similarity(similarity)
    inputs = stitch_inputs(
        (train_x, train_y), (test_x, test_y), (anchors_train, anchors_test), native_x,
        Columns(column, id_column), label_column,
    )  # fmt: skip
    with _terminal.Progress("training and scoring"):
        scores = stitch_scores(
            **vars(inputs), head=head, normalize=normalize, similarity=specs, center=center,
            whiten=whiten, random_state=seed,
        )  # fmt: skip
    failed = []
    if min_retention is not None and scores.retention < min_retention:
        failed.append(f"retention is {scores.retention:.3f}, the gate {min_retention:g}")
    _terminal.report(scores.to_dict() | {"gates_failed": failed}, str(scores), as_json=as_json)
    results.fail(failed)


def info(
    file: options.File,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    as_json: options.Json = False,
) -> None:
    """Say what a file holds.

    A saved object (its manifest, checked against its hashes), embeddings, or row
    numbers.

    Example: relatum info map.safetensors
    """
    from relatum._cli_inputs import Columns, describe

    result = describe(file, Columns(column, id_column))
    shown = {key: value for key, value in result.items() if key not in ("state", "libraries")}
    _terminal.report(result, _terminal.table(shown), as_json=as_json)
