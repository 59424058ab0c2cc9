"""The commands around a translation: fit it, apply it, search with it, score it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _cli_common_space, _cli_inputs, _files, _terminal, _validation, artifact
from relatum._cli_common_space import METHOD, load, widths
from relatum._cli_inputs import Columns, check_html
from relatum._cli_maps import warn_unlike
from relatum._cli_pairs import translation_inputs
from relatum._principal_axes import ENOUGH
from relatum._same_encoder import share_of_anchors
from relatum.common_space import CommonSpace
from relatum.index_files import penalty_of_file, search_file
from relatum.neighbors import check_k
from relatum.quality import PredictedQuality, predict_quality
from relatum.retrieval import HubnessPenalty
from relatum.translation import Translation
from relatum.translation_scores import TranslationScores, translation_scores

FOUND = (".csv", ".parquet")
"""What the result of a search is written to."""
SHOWN = 5
"""Queries whose result is shown to people."""


def fit(
    paths: tuple[str, str], anchors: str | None, output: str, columns: Columns, *,
    about: dict[str, Any], html: str | None = None, least: float | None = None, **settings: Any,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """Fit a map on the anchors, and score it on the items that are left."""
    artifact.check_target(output)
    check_html(html)
    if least is not None and not 0 <= least <= 1:
        raise ValueError(f"--min-retention is {least:g}; expected a share, 0 to 1")
    if least is not None and settings["method"] == METHOD:
        raise ValueError(
            "--min-retention is held against a prediction, of which a common space has none; use "
            "relatum evaluate --min-recall"
        )
    given = translation_inputs(paths, anchors, columns)
    X, Y = given.anchors()
    x, y = given.background(ENOUGH, settings["random_state"])
    started = time.perf_counter()
    with _terminal.Progress("fitting") as bar:
        found = _cli_common_space.fit(X, Y, x, y, **settings)
        seconds = round(time.perf_counter() - started, 3)
        bar.step("predicting quality")
        predicted = _predicted(found, X, Y, y) if isinstance(found, Translation) else None
        scores = None
        rest = given.others(MOST, settings["random_state"])
        if rest is not None and len(rest[0]) >= LEAST:
            bar.step("scoring the other items")
            scores = translation_scores(found, *rest)
        elif html is not None:
            raise ValueError(
                f"--html shows items that are no anchors; {paths[0]} and {paths[1]} have "
                f"{0 if rest is None else len(rest[0])}, expected at least {LEAST}"
            )
    kept: dict[str, Any] = {
        "predicted": None if predicted is None else predicted.to_dict(),
        "measured": None if scores is None else scores.to_dict(),
    }
    artifact.save(found, output, **kept, **about)
    if html is not None and rest is not None:
        _report(html, found, rest, given.names_of_others(MOST, settings["random_state"]), paths,
                predicted=predicted, scores=scores, X_anchors=X)  # fmt: skip
    result: dict[str, Any] = {
        "source": paths[0], "target": paths[1], **_cli_common_space.about(found),
        "seconds": seconds, "held_out": getattr(found, "scores_", None), "output": output,
        "html": html,
    }  # fmt: skip
    text = _terminal.table({k: v for k, v in result.items() if k != "held_out"})
    if result["held_out"]:
        criterion = settings["criterion"]
        what = WHAT[criterion]
        text += f"\n\nheld-out anchors, {what}, by method (auto takes the best):\n"
        text += _terminal.table(result["held_out"])
    if predicted is not None:
        text += f"\n\npredicted for new items:\n{predicted}"
    elif isinstance(found, Translation):
        text += f"\n\nnothing is predicted for new items: that takes {LEAST} anchors and other rows"
    if scores is not None:
        text += f"\n\nmeasured on the other items:\n{scores}"
        _warn_of_chance(scores, paths)
    return result | kept, text


WHAT = {"retrieval": "probability of each among those held out with it", "cosine": "mean cosine",
        "accuracy": "accuracy of a head"}  # fmt: skip
SEEN = 0.1
"""From this share of the anchors on they are no chance."""
LEAST = 20
"""Fewer items than this are not scored."""
MOST = 5000
"""Rows of the target that quality is predicted for, and items that are scored after a fit."""


def _predicted(
    found: Translation, X: np.ndarray, Y: np.ndarray, index: np.ndarray
) -> PredictedQuality | None:
    if len(X) < LEAST or len(index) <= LEAST:
        return None
    rows = np.linspace(0, len(index) - 1, min(MOST, len(index))).astype(int)
    return predict_quality(found, X, Y, index[rows], random_state=found.random_state)


def _warn_of_chance(scores: TranslationScores, paths: tuple[str, str]) -> None:
    """Say so where no more items are found than would be among strangers."""
    by_chance = scores.k / scores.n_items
    if scores.n_items >= LEAST and by_chance < 0.1 and scores.translated.recall_k < 2 * by_chance:
        _validation.warn(
            f"of the items that {paths[0]} and {paths[1]} have in common, no more are found than "
            "by chance; is row i of both, or each id, the same item, and are the anchors?"
        )


def failed_gate(predicted: dict[str, Any] | None, least: float | None) -> list[str]:
    """Say whether predicted R@10 is below what ``--min-retention`` asks for."""
    if least is None:
        return []
    if predicted is None:
        return [f"nothing is predicted: that takes {LEAST} anchors and other rows of TARGET"]
    value = predicted["recall_k"]["value"]
    return [f"predicted R@10 is {value:.3f}, the gate {least:g}"] if value < least else []


def find(
    queries: str, index: str, k: int, columns: Columns, *, maps: tuple[str | None, str | None],
    correction: str | None, background: str | None, penalty: str | None,
    save_penalty: str | None, output: str | None, memory: int,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """Search, and write or show what was found."""
    if output is not None and Path(output).suffix.lower() not in FOUND:
        raise ValueError(f"--output is {output}; expected one of {', '.join(FOUND)}")
    if (correction is None) != (background is None):
        raise ValueError("--correction and --background come together")
    if penalty is not None and correction is not None:
        raise ValueError("--penalty is what --correction would compute; give one of them")
    if save_penalty is not None and correction is None:
        raise ValueError("--save-penalty takes --correction")
    if output is not None:
        _files.check_target(output)
    if save_penalty is not None:
        artifact.check_target(save_penalty)
    asked, searched = columns.read(queries), columns.open(index)
    check_k(k, searched.n_rows, index)
    bring, place = _common_space(*maps, asked.array, queries)
    limit: dict[str, Any] = {"place": place, "memory": memory}
    taken: HubnessPenalty | None = None
    if penalty is not None:
        taken = _penalty(penalty)
    elif correction is not None and background is not None:
        seen = bring(columns.read(background).array)
        with _terminal.Progress(f"penalties ({correction})", searched.n_rows) as bar:
            taken = penalty_of_file(
                searched, seen, correction=correction, progress=bar.advance_to, **limit
            )
        if save_penalty is not None:
            artifact.save(taken, save_penalty)
    with _terminal.Progress(f"searching {index}", searched.n_rows) as bar:
        Q = bring(asked.array)
        scores, rows = search_file(Q, searched, k, penalty=taken, progress=bar.advance_to, **limit)
    query_ids = np.arange(len(Q)) if asked.ids is None else asked.ids
    ids = searched.ids_of(rows)
    items = rows if ids is None else ids
    if output is not None:
        _write_found(output, query_ids, items, scores)
    found = [
        {"query": q.item(), "items": i.tolist(), "scores": s.astype(np.float64).round(6).tolist()}
        for q, i, s in zip(query_ids, items, scores, strict=True)
    ]
    result = {
        "queries": queries, "index": index, "k": k, "n_queries": len(Q),
        "n_index": searched.n_rows, "correction": taken.correction if taken else None,
        "output": output,
        "found": None if output is not None else found,
    }  # fmt: skip
    return result, _shown(found, output)


def _penalty(path: str) -> HubnessPenalty:
    found = artifact.load(path)
    if not isinstance(found, HubnessPenalty):
        raise TypeError(
            f"{path} holds a {type(found).__name__}; expected penalties, as --save-penalty writes"
        )
    return found


def _common_space(
    map_file: str | None, index_map: str | None, asked: np.ndarray, queries: str
) -> tuple[Any, Any]:
    """Return what brings queries, and the index, into one space."""

    def as_it_is(X: np.ndarray) -> np.ndarray:
        return X

    if map_file is None:
        if index_map is not None:
            raise ValueError("--index-map comes with --map: the queries' projection")
        return as_it_is, as_it_is
    found = artifact.load(map_file)
    if isinstance(found, (Translation, CommonSpace)):
        if index_map is not None:
            raise ValueError(
                f"{map_file} brings queries and index into one space; leave --index-map out"
            )
        if isinstance(found, CommonSpace):
            return found.transform, found.transform_target
        warn_unlike(asked, found.forward_, queries)
        return found.transform, as_it_is
    own = _cli_inputs.load_projection(map_file)[1]
    if index_map is None:
        raise ValueError(f"{map_file} is a relative projection; --index-map takes the index's")
    other = _cli_inputs.load_projection(index_map)[1]
    if differences := own.space_.differences(other.space_):
        raise ValueError(
            f"{map_file} and {index_map} lead into different spaces: {'; '.join(differences)}"
        )
    return own.transform, other.transform


def _write_found(path: str, queries: np.ndarray, items: np.ndarray, scores: np.ndarray) -> None:
    import pyarrow as pa
    from pyarrow import csv, parquet

    n, k = items.shape
    table = pa.table(
        {
            "query": np.repeat(queries, k),
            "rank": np.tile(np.arange(1, k + 1), n),
            "item": items.ravel(),
            "score": scores.ravel(),
        }
    )
    with _files.replacing(path) as temporary:
        if path.lower().endswith(".csv"):
            csv.write_csv(table, temporary)
        else:
            parquet.write_table(table, temporary)


def _shown(found: list[dict[str, Any]], output: str | None) -> str:
    lines = []
    for one in found[:SHOWN]:
        pairs = zip(one["items"], one["scores"], strict=True)
        lines.append(f"{one['query']}: " + ", ".join(f"{i} ({s:.3f})" for i, s in pairs))
    if len(found) > SHOWN:
        where = "all of them with --json or -o" if output is None else f"all in {output}"
        lines.append(f"... {len(found)} queries, {where}")
    return "\n".join(lines)


def _report(
    html: str, found: Translation | CommonSpace, rows: tuple[np.ndarray, np.ndarray],
    ids: list[str], paths: tuple[str, str], **known: Any,
) -> None:  # fmt: skip
    from relatum.translation_report import translation_report

    names = Path(paths[0]).stem, Path(paths[1]).stem
    with _terminal.Progress("writing the report"):
        translation_report(html, found, *rows, ids=ids, names=names, **known)


def evaluate(
    path: str, paths: tuple[str, str], anchors: str | None, k: int, correction: str,
    columns: Columns, n_samples: int, seed: int, html: str | None = None,
) -> tuple[TranslationScores, dict[str, Any]]:  # fmt: skip
    """Score a map on items that both files have, but the anchors."""
    check_html(html)
    found = load(path)
    given = translation_inputs(paths, anchors, columns)
    for side, width, name in zip(given.sides, widths(found), paths, strict=True):
        if side.n_features != width:
            raise ValueError(f"{name} has {side.n_features} features; {path} was fitted on {width}")
    if anchors is None:  # all items that both files have
        given = replace(given, rest=given.rows)
    n_shared = 0 if given.rest is None else len(given.rest[0])
    scored = given.others(n_samples or n_shared, seed)
    if scored is None:
        raise ValueError(f"{anchors} leaves no item that both files are known to have")
    _validation.check_choice(correction, "--correction", ["softmax", "csls"])
    with _terminal.Progress("scoring"):
        scores = translation_scores(found, *scored, k=k, correction=correction)
    if isinstance(found, Translation):
        warn_unlike(scored[0], found.forward_, paths[0])
        if share_of_anchors(scored[0], found.forward_) > SEEN:
            _validation.warn(
                f"{paths[0]} has anchors that {path} was fitted on, which it translates better "
                "than others; --anchors leaves them out"
            )
    _warn_of_chance(scores, paths)
    if html is not None:
        _report(
            html, found, scored, given.names_of_others(n_samples or n_shared, seed), paths,
            predicted=artifact.read_manifest(path).get("predicted"), scores=scores, k=k,
            X_anchors=None if anchors is None else given.anchors()[0],
        )  # fmt: skip
    about = {"map": path, "source": paths[0], "target": paths[1], "n_shared": n_shared,
             "html": html}  # fmt: skip
    return scores, about | scores.to_dict()
