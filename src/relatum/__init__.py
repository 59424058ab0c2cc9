"""relatum puts embeddings from different encoders into one common space.

>>> import relatum
>>> relatum.__version__
'0.1.0'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from relatum._validation import MissingExtraError, RelatumWarning
from relatum.anchors import anchor_diagnostics, pair_anchors, parallel_test, select_anchors
from relatum.projection import inverse_relative_projection, relative_projection

if TYPE_CHECKING:
    from relatum.alignment import (
        cka,
        latent_similarity,
        pairwise_score,
        procrustes_distance,
        pwcca,
        rsa_distance,
        svcca,
    )
    from relatum.artifact import load, read_manifest, save
    from relatum.comparison import compare
    from relatum.estimators import HeadNormalizer, RelativeProjection
    from relatum.neighborhoods import (
        mean_reciprocal_rank,
        mutual_knn,
        neighborhood_jaccard,
        retrieval_jaccard,
    )
    from relatum.retrieval import hubness_penalty, search
    from relatum.stitching import bind, stitch
    from relatum.translation import Translation
    from relatum.vectors import open_embeddings, read_embeddings, write_embeddings

__version__ = "0.1.0"

# Imported when first used, so that `import relatum` stays fast.
_LAZY = {
    "cka": "alignment",
    "latent_similarity": "alignment",
    "pairwise_score": "alignment",
    "procrustes_distance": "alignment",
    "pwcca": "alignment",
    "rsa_distance": "alignment",
    "svcca": "alignment",
    "load": "artifact",
    "read_manifest": "artifact",
    "save": "artifact",
    "compare": "comparison",
    "HeadNormalizer": "estimators",
    "RelativeProjection": "estimators",
    "mean_reciprocal_rank": "neighborhoods",
    "mutual_knn": "neighborhoods",
    "neighborhood_jaccard": "neighborhoods",
    "retrieval_jaccard": "neighborhoods",
    "hubness_penalty": "retrieval",
    "search": "retrieval",
    "bind": "stitching",
    "stitch": "stitching",
    "Translation": "translation",
    "open_embeddings": "vectors",
    "read_embeddings": "vectors",
    "write_embeddings": "vectors",
    "nn": "nn",
}

__all__ = [
    "HeadNormalizer",
    "MissingExtraError",
    "RelativeProjection",
    "RelatumWarning",
    "Translation",
    "anchor_diagnostics",
    "bind",
    "cka",
    "compare",
    "hubness_penalty",
    "inverse_relative_projection",
    "latent_similarity",
    "load",
    "mean_reciprocal_rank",
    "mutual_knn",
    "neighborhood_jaccard",
    "open_embeddings",
    "pair_anchors",
    "pairwise_score",
    "parallel_test",
    "procrustes_distance",
    "pwcca",
    "read_embeddings",
    "read_manifest",
    "relative_projection",
    "retrieval_jaccard",
    "rsa_distance",
    "save",
    "search",
    "select_anchors",
    "stitch",
    "svcca",
    "write_embeddings",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'relatum' has no attribute {name!r}")
    module = import_module(f"relatum.{_LAZY[name]}")
    value = module if name == "nn" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
