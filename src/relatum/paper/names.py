"""How the fields, metrics and values of rows are called where people read them."""

from __future__ import annotations

from typing import Any

METRICS = {
    "f1": "F1, % ↑",
    "f1_macro": "macro F1, % ↑",
    "mae": "MAE ↓",
    "accuracy": "accuracy ↑",
    "best_validation": "best epoch, validation ↑",
    "last_validation": "last epoch, validation ↑",
    "mse": "MSE × 1000 ↓",
    "jaccard": "Jaccard ↑",
    "mrr": "MRR ↑",
    "score": "mean distance ↓",
    "cosine_score": "mean cosine distance ↓",
    "residual": "Procrustes residual ↓",
    "distance_correlation": "correlation of distances ↑",
    "pearson": "Pearson within a training",
    "pearson_across": "Pearson across models",
    "spearman_across": "Spearman across models",
    "n_models": "models",
    "recall_1": "R@1 ↑",
    "recall_10": "R@10 ↑",
    "overlap_10": "overlap@10 ↑",
    "recall_1_softmax": "R@1, corrected ↑",
    "recall_10_softmax": "R@10, corrected ↑",
    "overlap_10_softmax": "overlap@10, corrected ↑",
    "recall_1_csls": "R@1, CSLS ↑",
    "recall_1_predicted": "R@1, predicted",
    "recall_1_inside": "R@1 in its interval",
    "recall_10_inside": "R@10 in its interval",
    "overlap_10_predicted": "overlap, predicted",
    "overlap_10_inside": "overlap in its interval",
    "overlap_10_staying": "overlap, staying",
    "recall_10_predicted": "R@10, predicted",
    "recall_1_planned_inside": "R@1 in the plan's",
    "recall_10_planned_inside": "R@10 in the plan's",
    "overlap_10_planned_inside": "overlap in the plan's",
    "recall_1_all": "R@1, all rows ↑",
    "overlap": "overlap@10 ↑",
    "n_pairs": "pairs",
    "right": "right, share ↑",
    "growing_seconds": "seconds",
    "itself": "cosine to itself",
    "another": "cosine to another item",
}
"""Names of metrics; an arrow says which way is better. Others are called as they are."""

FIELDS = {
    "n_anchors": "anchors",
    "anchor_method": "anchors chosen by",
    "n_layers": "layers",
    "n_seeds": "seeds",
    "learning_rate": "learning rate",
    "conv": "convolution",
    "csls": "CSLS",
    "decoder": "head of",
    "encoder": "run on",
    "unit_means": "unit norms",
    "other": "other vectors",
}
"""Names of fields."""

VALUES: dict[str, dict[Any, str]] = {
    "projection": {
        "cosine": "relative (the paper's)",
        "centred": "relative, centred",
        "whitened": "relative, whitened",
        "quantised": "relative, quantised",
    },
    "anchors": {"none": "", "ood": "anchors from outside", "in-domain": "anchors in domain"},
    "stitched": {True: "on other encoders", False: "on its own encoder"},
    "dataset": {
        "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10",
        "cifar10_jpeg": "CIFAR-10 (JPEG)", "cifar100": "CIFAR-100", "cora": "Cora",
        "citeseer": "CiteSeer", "pubmed": "PubMed", "blogcatalog": "BlogCatalog",
        "trec-coarse": "TREC, 6 classes", "trec-fine": "TREC, 50 classes",
        "trec-coarse-hi": "TREC en-hi, 6 classes", "trec-fine-hi": "TREC en-hi, 50 classes",
        "dbpedia14": "DBpedia-14", "sst-coarse": "SST-2", "sst-fine": "SST-5",
        "sib200": "SIB-200", "clinc150": "CLINC150",
    },
    "conv": {"gcnii": "GCNII", "gcn": "GCN", "gin": "GIN"},
    "activation": {"relu": "ReLU", "tanh": "tanh"},
    "hidden": {"relu": "ReLU", "tanh": "tanh"},
    "optimizer": {"adam": "Adam", "sgd": "SGD"},
    "model": {"ae": "AE", "vae": "VAE"},
    "anchor_method": {
        "farthest_point": "farthest point", "kmeans": "k-means",
        "pivoted_cholesky": "pivoted Cholesky", "most_frequent": "most frequent",
    },
}  # fmt: skip
"""Names of values, by field."""
VALUES["method"] = VALUES["anchor_method"]


def metric(name: str) -> str:
    """Return what a metric is called."""
    return METRICS.get(name, name.replace("_", " "))


def field(name: str) -> str:
    """Return what a field is called."""
    return FIELDS.get(name, name.replace("_", " "))


def value(name: str, found: Any) -> str:
    """Return what a value of the field ``name``, or a list of those that will do, is called."""
    if found is None:
        return "–"
    if isinstance(found, list):
        return " / ".join(value(name, one) for one in found)
    if found in VALUES.get(name, {}):
        return VALUES[name][found]
    return {True: "yes", False: "no"}[found] if isinstance(found, bool) else str(found)
