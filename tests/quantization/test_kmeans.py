"""K-means against brute force and scikit-learn, and the invariants every clustering keeps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans as Oracle
from sklearn.datasets import make_blobs

from macrec.errors import DataError
from macrec.quantization import nearest as module
from macrec.quantization.kmeans import balanced_labels, kmeans
from macrec.quantization.nearest import nearest_codeword


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blobs(n=1200, k=12, d=8, seed=3):
    return torch.from_numpy(make_blobs(n, d, centers=k, random_state=seed)[0].astype(np.float32))


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "BUDGET", 4 * 40 * 37)


@pytest.mark.slow
def test_the_nearest_codeword_is_at_the_smallest_distance():
    """T18: argmax(x·c - ½‖c‖²) is argmin ‖x - c‖², here by float64 differences."""
    x, codewords = normal(2000, 32), normal(256, 32, seed=1)
    squared = (x.double()[:, None] - codewords.double()).square().sum(2)
    codes, distances = nearest_codeword(x, codewords)
    assert torch.equal(codes, squared.argmin(1))
    torch.testing.assert_close(distances.double(), squared.min(1).values, rtol=1e-5, atol=0)


def test_far_from_the_origin_float32_scores_are_too_coarse_and_float64_decides():
    x, codewords = normal(500, 8) + 3000, normal(64, 8, seed=1) + 3000
    squared = (x.double()[:, None] - codewords.double()).square().sum(2)
    coarse = (x @ codewords.T - codewords.square().sum(1) / 2).argmax(1)
    assert (coarse != squared.argmin(1)).any()  # what the second look is for
    assert torch.equal(nearest_codeword(x, codewords)[0], squared.argmin(1))


def test_the_lowest_code_wins_a_tie():
    codewords = torch.tensor([[4.0, 0], [1, 0], [-1, 0], [1, 0]])
    x = torch.tensor([[0.0, 5], [1, 0], [2.5, 0], [-9, 1]])
    assert nearest_codeword(x, codewords)[0].tolist() == [1, 1, 0, 2]


def test_chunks_and_memory_maps_change_nothing(small_chunks, monkeypatch, tmp_path):
    x, codewords = normal(500, 12), normal(28, 12, seed=1)
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = [nearest_codeword(rows, codewords) for rows in (x, mapped)]
    clusters = [kmeans(rows, 20, seed=5) for rows in (x, mapped)]
    monkeypatch.setattr(module, "BUDGET", 1 << 26)
    found.append(nearest_codeword(x, codewords))
    clusters.append(kmeans(x, 20, seed=5))
    for codes, squared in found[:-1]:
        assert torch.equal(codes, found[-1][0]) and torch.equal(squared, found[-1][1])
    for result in clusters[:-1]:
        assert torch.equal(result.labels, clusters[-1].labels)
        assert torch.equal(result.centroids, clusters[-1].centroids)


@pytest.mark.parametrize("starts", [1, 4])
def test_inertia_is_within_two_percent_of_scikit_learn(starts):
    x = blobs()
    ours = min(kmeans(x, 12, seed).inertia[-1] for seed in range(starts))
    theirs = Oracle(12, n_init=starts, random_state=0).fit(x.numpy()).inertia_
    assert ours <= 1.02 * theirs


def test_from_the_same_centroids_lloyd_arrives_where_scikit_learn_does():
    x = normal(600, 5)
    ours = kmeans(x, 9, 0, iterations=300, init=x[:9])
    theirs = Oracle(9, init=x[:9].numpy(), n_init=1, tol=0, algorithm="lloyd").fit(x.numpy())
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.labels_)
    np.testing.assert_allclose(ours.centroids.numpy(), theirs.cluster_centers_, atol=1e-5)
    assert ours.inertia[-1] == pytest.approx(theirs.inertia_, rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"balanced": True}, {"spherical": True}, {"sample": 50}])
def test_inertia_never_rises_and_is_that_of_the_labels(options):
    x = blobs(900, 30)
    result = kmeans(x, 25, 1, **options)
    inertia = np.array(result.inertia)
    assert inertia[-1] < 0.99 * inertia[0] and (np.diff(inertia) <= 1e-6 * inertia[:-1]).all()
    if options.get("spherical"):
        x = x / x.norm(dim=1, keepdim=True)
        torch.testing.assert_close(result.centroids.norm(dim=1), torch.ones(25))
    squared = (x - result.centroids[result.labels]).double().square().sum()
    assert inertia[-1] == pytest.approx(float(squared), rel=1e-5)
    if not options.get("balanced"):
        nearest = (x.double()[:, None] - result.centroids.double()).square().sum(2).argmin(1)
        assert torch.equal(result.labels.long(), nearest)


def test_no_cluster_stays_empty():
    x = normal(200, 3) + 50
    lost = torch.cat([x[:10], torch.full((6, 3), 1e3) + torch.arange(6)[:, None]])
    result = kmeans(x, 16, 0, init=lost)
    assert len(result.labels.unique()) == 16 and (result.centroids - 50).abs().max() < 10


@pytest.mark.parametrize("sample", [5, 50_000])
def test_there_are_no_more_clusters_than_distinct_rows(sample):
    distinct = normal(7, 4) + 100
    x = distinct[torch.arange(140) % 7]
    result = kmeans(x, 10, 0, sample=sample)
    assert result.centroids.shape == (7, 4) and result.inertia[-1] == pytest.approx(0, abs=1e-6)
    assert len(result.labels.unique()) == 7


def test_permuted_rows_get_permuted_labels():
    x = normal(400, 6)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(1))
    first, second = kmeans(x, 8, 0, init=x[:8]), kmeans(x[order], 8, 0, init=x[:8])
    assert torch.equal(first.labels[order], second.labels)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_seed_decides(balanced):
    x = normal(300, 6)
    first, again, other = (kmeans(x, 8, seed, balanced=balanced) for seed in (4, 4, 5))
    assert torch.equal(first.labels, again.labels) and torch.equal(first.centroids, again.centroids)
    assert first.inertia == again.inertia and not torch.equal(first.labels, other.labels)


@settings(max_examples=60)
@given(st.data())
def test_balanced_clusters_differ_by_at_most_one_row(data):
    n = data.draw(st.integers(1, 60))
    k = data.draw(st.integers(1, n))
    levels = data.draw(st.integers(1, 5))  # few levels: duplicates and ties
    x = torch.randint(levels, (n, 2), generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99)))).float()
    result = kmeans(x, k, 0, balanced=True)
    sizes = torch.bincount(result.labels, minlength=len(result.centroids))
    k = len(result.centroids)
    assert sorted(sizes.tolist()) == [n // k] * (k - n % k) + [n // k + 1] * (n % k)


def test_balanced_labels_cost_little_more_than_the_optimum():
    ratios = []
    for seed in range(20):
        x = normal(96, 4, seed=seed)
        cost = (x[:, None] - x[:8]).square().sum(2)
        ours = float(cost.gather(1, balanced_labels(cost)[:, None]).sum())
        slots = cost.repeat_interleave(12, dim=1).numpy()
        ratios.append(ours / slots[linear_sum_assignment(slots)].sum())
    assert min(ratios) > 1 - 1e-6 and np.mean(ratios) < 1.01 and max(ratios) < 1.05


def test_balanced_clusters_of_equal_blobs_are_the_blobs():
    centers = 20 * torch.eye(6)
    truth = torch.arange(120) % 6
    result = kmeans(centers[truth] + normal(120, 6), 6, 0, balanced=True)
    assert len({(a, b) for a, b in zip(truth.tolist(), result.labels.tolist(), strict=True)}) == 6


def test_spherical_clusters_ignore_length_and_survive_rows_of_zeros():
    x = blobs(300, 6)
    stretched = x * torch.logspace(-3, 3, 300)[:, None]
    assert torch.equal(kmeans(x, 6, 0, spherical=True).labels, kmeans(stretched, 6, 0, spherical=True).labels)
    holed = torch.cat([x, torch.zeros(40, 8)])
    result = kmeans(holed, 6, 0, spherical=True)
    torch.testing.assert_close(result.centroids.norm(dim=1), torch.ones(6))


def test_directions_that_cancel_out_leave_their_centroid_where_it_was():
    x = torch.tensor([[1.0, 0], [-1, 0]])
    assert kmeans(x, 1, 0, spherical=True, init=torch.tensor([[0.0, 2]])).centroids.tolist() == [[0, 1]]


def test_all_rows_the_same_make_one_cluster():
    for x in (torch.ones(9, 2), torch.zeros(9, 2)):
        for spherical in (False, True):
            result = kmeans(x, 3, 0, spherical=spherical)
            expected = torch.nn.functional.normalize(x[:1]) if spherical else x[:1]
            torch.testing.assert_close(result.centroids, expected)
            assert result.labels.tolist() == 9 * [0]


@pytest.mark.parametrize("k", [0, -1, 11])
def test_an_impossible_number_of_clusters_is_refused(k):
    with pytest.raises(ValueError, match="k must be from 1 to 10"):
        kmeans(normal(10, 2), k, 0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("row", [0, 166])
def test_a_row_that_is_not_finite_is_named(small_chunks, bad, row):
    x = normal(200, 3)
    x[row, 1] = bad
    with pytest.raises(DataError, match=f"row {row + 1}: the vector holds NaN"):
        kmeans(x, 4, 0)
    with pytest.raises(DataError, match=f"row {row + 1}: the vector holds NaN"):
        nearest_codeword(x, normal(4, 3))


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_reading_a_memory_map_leaves_it_as_it_is(small_chunks, tmp_path, mode):
    x, codewords = normal(300, 12), normal(28, 12, seed=1)
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
    if mode != "r":
        mapped[[3, 250]] = x[[3, 250]] = 7.0
    for _ in range(2):
        assert torch.equal(nearest_codeword(mapped, codewords)[0], nearest_codeword(x, codewords)[0])
    np.testing.assert_array_equal(mapped, x.numpy())


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"x must be \[N, d\], got 1 dimension"):
        kmeans(torch.zeros(5), 2, 0)
    with pytest.raises(ValueError, match="3 dimensions"):
        nearest_codeword(torch.zeros(5, 2, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"codewords must be \[K, 2\]"):
        nearest_codeword(torch.zeros(5, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"init must be \[2, 3\]"):
        kmeans(normal(5, 3), 2, 0, init=torch.zeros(3, 3))
