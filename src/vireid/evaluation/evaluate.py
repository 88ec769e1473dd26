"""Embeddings and a protocol in, a result row out.

Shapes: N samples, D embedding size, Q queries, G gallery images, B queries of one block.
"""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from vireid.errors import InputError
from vireid.evaluation.chance import chance
from vireid.evaluation.distance import blocks, distances
from vireid.evaluation.metrics import BoolArray, RetrievalMetrics, query_scores, summarise
from vireid.evaluation.protocols import Protocol, Trial
from vireid.evaluation.rerank import k_reciprocal_blocks
from vireid.evaluation.results import RANKS, RerankName, Result, TrialScores, summary

# Distances held at once, 128 MB: blocks of few rows would slow the matrix product down.
DISTANCE_ENTRIES = 32_000_000


def evaluate_protocol(
    embeddings: npt.NDArray[np.float32],
    protocol: Protocol,
    *,
    rerank: RerankName = "off",
    device: torch.device | str = "cpu",
    method: str = "",
    seed: int = 0,
    selection: str = "last",
    data_root: str = "",
    unreadable: Mapping[int, str] | None = None,
    versions: Mapping[str, str] | None = None,
    progress: bool = False,
) -> Result:
    """Score every trial of a protocol.

    Args:
        embeddings: `(N, D)` L2-normalised, one per sample that the protocol was built from.
        protocol: from `vireid.evaluation.protocols`.
        rerank: `off`, or `k-reciprocal` with its published settings (k1 = 20, k2 = 6, lambda = 0.3).
        device: where distances are computed.
        method: its name, for the result.
        seed: of the training run, for the result.
        selection: how the epoch was chosen, for the result.
        data_root: where the data lie, for the result.
        unreadable: sample index to file name of images that could not be read; they take no part, their rows
            of `embeddings` may hold anything.
        versions: of the software, for the result.
        progress: show a bar over the trials.

    Raises:
        InputError: the number of embeddings is not that of the samples, or no query of a trial has a match.
    """
    if len(embeddings) != len(protocol.pids):
        raise InputError(f"got {len(embeddings)} embeddings for {len(protocol.pids)} samples; give one per sample")
    if rerank not in ("off", "k-reciprocal"):
        raise InputError(f"rerank '{rerank}': expected off or k-reciprocal")
    missing: Mapping[int, str] = unreadable or {}
    rules = _readable(protocol, missing)
    scores, curves = [], []
    bar = tqdm(rules.trials, f"evaluate {rules.direction}", unit="trial", disable=not progress, leave=False)
    for trial in bar:
        metrics = _score(embeddings, rules, trial, rerank, device)
        sizes = {"num_queries": len(trial.query), "num_gallery": len(trial.gallery)}
        scores.append(TrialScores.of(metrics, **sizes))
        curves.append(metrics.cmc)
    mean, std = summary(scores)
    return Result(
        method=method,
        dataset=rules.dataset,
        protocol=rules.name,
        direction=rules.direction,
        rerank=rerank,
        cmc_unit=rules.cmc_unit,
        selection=selection,
        seed=seed,
        data_root=data_root,
        trials=tuple(scores),
        mean=mean,
        std=std,
        cmc=tuple(np.mean(curves, axis=0).tolist()),
        chance=chance(rules),
        unreadable=tuple(missing[index] for index in sorted(missing)),
        versions=dict(versions or {}),
    )


def trial_distances(
    embeddings: npt.NDArray[np.float32],
    trial: Trial,
    rerank: RerankName = "off",
    apart: BoolArray | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[slice, npt.NDArray[np.floating]]]:
    """Distances of a trial in blocks: `(rows of trial.query, (B, G))`, so that memory stays bounded.

    `apart` `(Q, G)` is true for pairs that re-ranking must not see as neighbours.
    """
    gallery = torch.from_numpy(embeddings[trial.gallery]).to(device)
    if rerank == "k-reciprocal":
        yield from k_reciprocal_blocks(embeddings[trial.query], gallery, apart=apart)
        return
    for rows in blocks(len(trial.query), len(gallery), DISTANCE_ENTRIES):
        yield rows, distances(embeddings[trial.query[rows]], gallery)


def _readable(protocol: Protocol, missing: Collection[int]) -> Protocol:
    return protocol.without(missing) if missing else protocol


def _score(
    embeddings: npt.NDArray[np.float32],
    protocol: Protocol,
    trial: Trial,
    rerank: RerankName,
    device: torch.device | str,
) -> RetrievalMetrics:
    gallery_ids = protocol.pids[trial.gallery]
    # Pictures of one instant or view would meet in each other's neighbours. SYSU-MM01 and LLCM stay as published.
    hidden = rerank != "off" and protocol.ignore in ("same_track", "same_view")
    apart = protocol.ignore_mask(trial.query, trial.gallery) if hidden else None
    parts = []
    for rows, block in trial_distances(embeddings, trial, rerank, apart, device=device):
        query = trial.query[rows]
        ignore = protocol.ignore_mask(query, trial.gallery)
        parts.append(query_scores(block, protocol.pids[query], gallery_ids, ignore, cmc_unit=protocol.cmc_unit))
    return summarise(parts, max_rank=max(RANKS))
