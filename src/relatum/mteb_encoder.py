"""A translated encoder in MTEB's protocol: what a benchmark gives after translation.

Needs the extra ``mteb``.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from typing import Any

from sklearn.utils.validation import check_is_fitted

from relatum import _validation
from relatum._array import Array
from relatum.translation import Translation

__all__ = ["TranslatedEncoder"]


class TranslatedEncoder:
    """An encoder whose embeddings are translated, for ``mteb.evaluate``.

    Parameters
    ----------
    encoder : SentenceTransformer, or an encoder of MTEB's protocol
        The one to translate from.
    translation : Translation
        Fitted, from the space of ``encoder``.
    documents : SentenceTransformer, or an encoder of MTEB's protocol, optional
        The target. It encodes what MTEB calls documents, untranslated, so that translated
        queries search the index of another encoder. Everything else is translated: all
        texts of a task that tells no queries from documents, such as classification.

    Attributes
    ----------
    mteb_model_meta : mteb.models.ModelMeta
        That of ``encoder``. ``experiment_kwargs`` names the translation, by a hash, and
        ``documents``, so that MTEB keeps their results apart.

    Raises
    ------
    TypeError
        Another object than an encoder or a translation.
    NotFittedError
        A translation that was not fitted.
    ValueError
        In ``encode``: embeddings of another width than the translation has.
    MissingExtraError
        A SentenceTransformer, where mteb is not installed.

    Notes
    -----
    Rows are compared as the target compares them: by the similarity of ``documents`` where
    it is given, else by that of ``encoder``.

    Examples
    --------
    >>> import relatum
    >>> from sentence_transformers import SentenceTransformer
    >>> from sentence_transformers.sentence_transformer.modules import BoW
    >>> from relatum.mteb_encoder import TranslatedEncoder
    >>> words = ["cat", "dog", "fish"]
    >>> new = SentenceTransformer(modules=[BoW(words)], device="cpu")
    >>> old = SentenceTransformer(modules=[BoW(words[::-1])], device="cpu")
    >>> texts = ["cat", "dog", "fish", "cat dog", "cat fish", "dog fish"]
    >>> translation = relatum.Translation("procrustes").fit(new.encode(texts), old.encode(texts))
    >>> model = TranslatedEncoder(new, translation, documents=old)
    >>> model.mteb_model_meta.embed_dim
    3

    ``mteb.evaluate(model, mteb.get_tasks(tasks=["NanoArguAnaRetrieval"]))`` evaluates it.
    """

    def __init__(self, encoder: Any, translation: Translation, *, documents: Any = None) -> None:
        if not isinstance(translation, Translation):
            raise TypeError(
                f"translation is {type(translation).__name__}; expected a fitted "
                "relatum.Translation"
            )
        check_is_fitted(translation)
        self.encoder = _in_protocol(encoder, "encoder")
        self.translation = translation
        self.documents = None if documents is None else _in_protocol(documents, "documents")
        self.mteb_model_meta = self._meta()

    def _meta(self) -> Any:
        base, target = self.encoder.mteb_model_meta, self._target.mteb_model_meta
        about = {**(base.experiment_kwargs or {}), "translation": _fingerprint(self.translation)}
        if self.documents is not None:
            about["documents"] = target.name
        return base.model_copy(
            update={
                "embed_dim": self.translation.n_features_out_,
                "similarity_fn_name": target.similarity_fn_name,
                "experiment_kwargs": about,
            }
        )

    @property
    def _target(self) -> Any:
        return self.encoder if self.documents is None else self.documents

    def encode(
        self,
        inputs: Iterable[Any],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> Array:
        """Return embeddings (n_texts, n_features_y) in the target's space.

        The parameters are those of MTEB's protocol and go to the encoder as they are.
        """
        kwargs |= {"task_metadata": task_metadata, "hf_split": hf_split, "hf_subset": hf_subset}
        kwargs["prompt_type"] = prompt_type
        if self.documents is not None and prompt_type == "document":
            Y = self.documents.encode(inputs, **kwargs)
            _check_width(Y, "documents", self.translation.n_features_out_, "leads into")
            return Y
        X = self.encoder.encode(inputs, **kwargs)
        _check_width(X, "encoder", self.translation.n_features_in_, "was fitted on")
        return self.translation.transform(X)

    def similarity(self, embeddings1: Array, embeddings2: Array) -> Any:
        """Return the similarity of all pairs of rows, as the target's encoder has it."""
        return self._target.similarity(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Array, embeddings2: Array) -> Any:
        """Return the similarity of row i with row i, as the target's encoder has it."""
        return self._target.similarity_pairwise(embeddings1, embeddings2)


def _in_protocol(encoder: Any, name: str) -> Any:
    """Return an encoder of MTEB's protocol; a SentenceTransformer is wrapped into one."""
    if hasattr(encoder, "mteb_model_meta"):
        return encoder
    models = _validation.require("mteb.models", "mteb", "TranslatedEncoder")
    from sentence_transformers import SentenceTransformer

    if not isinstance(encoder, SentenceTransformer):
        raise TypeError(
            f"{name} is {type(encoder).__name__}; expected a SentenceTransformer or an encoder of "
            "MTEB's protocol (with mteb_model_meta)"
        )
    with warnings.catch_warnings():  # mteb calls what it and sentence-transformers deprecate
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return models.SentenceTransformerEncoderWrapper(encoder)


def _fingerprint(translation: Translation) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(translation.forward_.to_arrays("forward").items()):
        digest.update(f"{name} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:12]


def _check_width(rows: Array, name: str, width: int, what: str) -> None:
    if rows.shape[1] != width:
        raise ValueError(f"{name} gives {rows.shape[1]} features; this translation {what} {width}")
