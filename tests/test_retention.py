"""A head on another encoder, scored: against scikit-learn by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import StandardScaler

import relatum
from relatum.retention import HEADS, NORMALIZERS, stitch_scores

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(300, 8))
Q = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
A, B = Z, 2 * Z @ Q + 0.05 * RNG.normal(size=(300, 8))
Y = np.array(["x", "y", "z"])[Z[:, :3].argmax(1)]
TRAIN, TEST, ANCHORS = slice(0, 200), slice(200, 300), slice(0, 40)


def scores(**changes):
    given = {
        "train_x": A[TRAIN], "train_y": Y[TRAIN], "test_x": B[TEST], "test_y": Y[TEST],
        "anchors_train": A[ANCHORS], "anchors_test": B[ANCHORS],
    }  # fmt: skip
    return stitch_scores(**(given | changes))


@pytest.mark.parametrize("whiten", [None, 0.3])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("normalize", NORMALIZERS)
def test_scores_are_those_of_the_parts_put_together_by_hand(head, normalize, whiten):
    found = scores(head=head, normalize=normalize, whiten=whiten, center=True, native_x=A[TEST])
    R, S, T = (
        relatum.relative_projection(X, anchors[ANCHORS], center=True, whiten=whiten)
        for X, anchors in ((A[TRAIN], A), (B[TEST], B), (A[TEST], A))
    )
    if normalize != "none":
        scaler = StandardScaler().fit(R)
        own = scaler.transform
        other = own if normalize == "inductive" else lambda M: StandardScaler().fit_transform(M)
        R, S, T = own(R), other(S), other(T)
    variance = R.var(axis=0)
    by_hand = {
        "ridge": RidgeClassifier(alpha=variance.sum()),
        "logistic": LogisticRegression(C=1 / variance.mean(), max_iter=1000),
    }[head].fit(R, Y[TRAIN])
    for score, rows in ((found.stitched, S), (found.native, T)):
        predicted = by_hand.predict(rows)
        assert score.accuracy == pytest.approx(accuracy_score(Y[TEST], predicted), abs=0.011)
        f1 = f1_score(Y[TEST], predicted, average="weighted")
        assert score.weighted_f1 == pytest.approx(f1, abs=0.011)
    assert found.retention == found.stitched.weighted_f1 / found.native.weighted_f1


def test_an_isometry_keeps_everything_and_absolute_nothing():
    found = scores(test_x=5 * A[TEST] @ Q, anchors_test=5 * A[ANCHORS] @ Q, native_x=A[TEST])
    assert found.retention == 1
    assert found.anchors_parallel
    assert found.absolute.weighted_f1 < found.stitched.weighted_f1
    assert (found.n_train, found.n_test, found.n_anchors, found.n_classes) == (200, 100, 40, 3)
    classes, counts = np.unique(Y[TRAIN], return_counts=True)
    assert found.chance.accuracy == np.mean(Y[TEST] == classes[counts.argmax()])


def test_native_is_cross_validated_without_test_items():
    found = scores(center=True)
    assert found.native_on == "5-fold cross-validation on the training set"
    with_items = scores(center=True, native_x=A[TEST])
    assert found.native.accuracy == pytest.approx(with_items.native.accuracy, abs=0.1)
    assert found.native == scores(center=True).native
    random = scores(train_y=RNG.permutation(Y[TRAIN]))  # a held-out fold cannot be known by heart
    assert random.native.accuracy < 0.6
    rare = Y[TRAIN].copy()
    rare[:2] = "rare"
    assert scores(train_y=rare).native.accuracy > 0.5


def test_absolute_takes_the_same_width():
    wider = np.hstack([B, B])
    found = scores(test_x=wider[TEST], anchors_test=wider[ANCHORS])
    assert found.absolute is None
    assert found.to_dict()["absolute"] is None
    assert "absolute          n/a       n/a" in str(found)


def test_few_anchors_are_not_tested_for_being_parallel():
    assert scores(anchors_train=A[:4], anchors_test=B[:4]).anchors_parallel is None


def test_anchors_that_are_not_parallel_are_warned_of():
    with pytest.warns(relatum.RelatumWarning, match="do not look parallel"):
        found = scores(anchors_test=B[ANCHORS][RNG.permutation(40)])
    assert found.anchors_parallel is False


def test_a_class_that_training_lacks_is_warned_of():
    new = Y[TEST].astype("U9")
    new[:7] = "new"
    with pytest.warns(relatum.RelatumWarning, match="classes that train_y lacks, .*: new"):
        scores(test_y=new)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "rigde"}, r"head is 'rigde' \(did you mean 'ridge'\?\); expected one of ridge, "),
        ({"normalize": "both"}, "normalize is 'both'; expected one of none, inductive"),
        ({"train_y": Y[:9]}, r"train_y has shape \(9,\), train_x has 200 rows; expected one label"),
        ({"test_y": Y[:9]}, r"test_y has shape \(9,\), test_x has 100 rows; expected one label"),
        ({"train_y": np.full(200, "x")}, "train_y has one class, x; expected at least 2"),
        (
            {"test_y": np.full(100, "w")},
            "test_y and train_y have no class in common: w and x, y, z",
        ),
        ({"anchors_test": B[:9]}, "anchors_train has 40 rows, anchors_test has 9; expected the sa"),
        ({"native_x": A[:9]}, "native_x has 9 rows, test_x has 100; expected the same number"),
        ({"train_x": A[:4], "train_y": list("xyzx")}, "train_x has 4 rows; expected at le"),
        ({"whiten": -1.0}, "whiten is -1.0; expected a finite number >= 0"),
    ],
    ids=range(10),
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        scores(**changes)
