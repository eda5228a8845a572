"""A million vectors: exact search with NumPy and with faiss, and approximate search with faiss.

    python -m pip install -e ".[bench]"        # faiss-cpu
    python benchmarks/retrieval_search.py      # about a minute

The vectors are simulated: each is the embedding of a drawing of the emoji (64 principal components
of its features), moved by noise and divided by its length. The queries are made in the same way. An
IVF index (Sivic and Zisserman 2003) sorts the vectors into cells around centres that k-means finds,
and looks only into the `nprobe` cells nearest to a query; recall is the share of the exact ten best
that it finds. Everything runs on one thread. It writes benchmarks/results/retrieval_search.csv.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

import mmkeras as mm
from mmkeras.retrieval import search

RESULTS = Path(__file__).parent / "results" / "retrieval_search.csv"
COUNT, WIDTH, QUERIES, K = 1_000_000, 64, 1000, 10
CELLS, PROBES, REPEATS = 1024, (1, 4, 16, 64), 3


def vectors(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Embeddings moved by noise that is about as long as they are, (count, WIDTH), of length 1."""
    rng = np.random.default_rng(seed)
    x = features[rng.integers(len(features), size=count)]
    x = x + rng.normal(0, WIDTH**-0.5, x.shape).astype("float32")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def timed(run: Callable[[], Any], repeats: int = REPEATS) -> tuple[Any, float]:
    """The result, and the median seconds of a run."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
    return result, float(np.median(seconds))


def main() -> None:
    mm.start(seed=0)
    faiss.omp_set_num_threads(1)
    emoji = mm.datasets.load_emoji(96)
    encoder = mm.pretrained.efficientnet_lite0((96, 96, 3))
    features = mm.pretrained.cached_features(encoder, emoji.images)
    features = PCA(WIDTH, random_state=0).fit_transform(features).astype("float32")
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    stored, queries = vectors(features, COUNT, 0), vectors(features, QUERIES, 1)
    rows = []

    few = queries[:100]
    with threadpool_limits(1):
        (_, exact), seconds = timed(lambda: search(few, stored, K, block=20))
    rows.append(("NumPy, exact", "", 0.0, len(few) / seconds, 1.0))

    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(stored)
    (_, first), seconds = timed(lambda: flat.search(few, K))
    same = np.mean([len(set(a) & set(b)) / K for a, b in zip(first, exact, strict=True)])
    print(f"NumPy and faiss find the same ten: {same:.4f} of them")
    rows.append(("faiss, exact", "", 0.0, len(few) / seconds, 1.0))
    truth = flat.search(queries, K)[1]

    ivf = faiss.IndexIVFFlat(faiss.IndexFlatIP(WIDTH), WIDTH, CELLS, faiss.METRIC_INNER_PRODUCT)
    start = time.perf_counter()
    ivf.train(stored[:: COUNT // (64 * CELLS)])
    ivf.add(stored)
    built = time.perf_counter() - start
    for probes in PROBES:
        ivf.nprobe = probes
        (_, found), seconds = timed(lambda: ivf.search(queries, K))
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(truth, found, strict=True)])
        rows.append((f"faiss, IVF of {CELLS} cells", probes, built, QUERIES / seconds, recall))
    columns = ["index", "nprobe", "seconds to build", "queries per second", "recall"]
    table = pd.DataFrame(rows, columns=columns)
    digits = {"seconds to build": 1, "queries per second": 0, "recall": 4}
    table.round(digits).to_csv(RESULTS, index=False)
    print(table.round(digits).to_string(index=False))


if __name__ == "__main__":
    main()
