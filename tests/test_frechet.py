"""Frechet and kernel distances against closed forms and published values."""

import os
import time

import numpy as np
import pytest
import torch

from cinelib.metrics.extractors import I3D, FrameFeatures
from cinelib.metrics.frechet import (
    frechet_distance,
    frechet_extrapolated,
    frechet_floor,
    frechet_interval,
    kernel_distance,
    video_distances,
)
from cinelib.metrics.synthetic import Layer, synthetic_clip

RNG = np.random.default_rng(0)


def gaussian(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("shape", [(10, 40), (200, 12)], ids=["n < d", "n > d"])
def test_distance_of_a_set_to_itself_is_zero_in_any_order(shape):
    x = gaussian(*shape)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9 * shape[1])
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9 * shape[1])


@pytest.mark.parametrize("ddof", [0, 1])
def test_a_mean_shift_scores_its_squared_length(ddof):
    x, shift = gaussian(30, 50), gaussian(1, 50, 1)
    assert frechet_distance(x, x + shift, ddof) == pytest.approx((shift**2).sum(), rel=1e-9)


def test_a_scaled_covariance_scores_its_closed_form():
    x = gaussian(60, 20)
    # S_y = k^2 S_x commute: tr(S_x + k^2 S_x - 2 k S_x) = (k - 1)^2 tr S_x
    centred = x - x.mean(0)
    expected = (1.7 - 1) ** 2 * (centred**2).sum() / 60
    assert frechet_distance(x.mean(0) + 1.7 * centred, x) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(40, 25, 8), (9, 14, 30)])
@pytest.mark.parametrize("ddof", [0, 1])
def test_nuclear_norm_equals_the_matrix_square_root(n, m, d, ddof):
    from scipy.linalg import sqrtm

    x, y = gaussian(n, d, 1) @ gaussian(d, d, 2), gaussian(m, d, 3) + 0.5
    sx, sy = np.cov(x.T, ddof=ddof), np.cov(y.T, ddof=ddof)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sx + sy - 2 * np.real(sqrtm(sx @ sy)))
    # Singular covariances (n < d) limit what sqrtm itself can reach.
    assert frechet_distance(x, y, ddof) == pytest.approx(expected, rel=1e-6 if n > d else 1e-3)


@pytest.mark.parametrize(("power", "bias"), [(0, 610), (1, 354)], ids=["flat spectrum", "1/k"])
def test_forty_clips_of_one_distribution_score_hundreds(power, bias):
    scale = np.arange(1, 401) ** (-power / 2)
    scale *= np.sqrt(400 / np.square(scale).sum())
    pairs = [(gaussian(40, 400, 2 * s) * scale, gaussian(40, 400, 2 * s + 1) * scale) for s in range(4)]
    assert np.mean([frechet_distance(x, y) for x, y in pairs]) == pytest.approx(bias, rel=0.05)


def test_kernel_distance_reproduces_the_published_matrices():
    a = np.arange(1, 10).reshape(3, 3)
    b = np.array([[7, 6, 5], [4, 3, 2], [1, 1, 8], [0, 2, 5]])
    quadratic = kernel_distance(a, b, degree=2, coef0=0, unbiased=False)
    assert quadratic == pytest.approx(270.7, abs=0.05)
    # The 2436.5 printed beside these matrices is the quadratic kernel without the division by d = 3.
    assert 9 * quadratic == pytest.approx(2436.5, abs=0.05)

    def mean(x, y):
        return np.mean([(np.dot(p, q) / 3 + 1) ** 3 for p in x for q in y])

    cubic = kernel_distance(a, b, degree=3, coef0=1, unbiased=False)
    assert cubic == pytest.approx(mean(a, a) + mean(b, b) - 2 * mean(a, b), rel=1e-12)


def test_the_unbiased_kernel_distance_is_zero_on_average_and_grows_with_a_shift():
    draws = [kernel_distance(gaussian(12, 6, 2 * s), gaussian(12, 6, 2 * s + 1)) for s in range(200)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(200)
    assert kernel_distance(gaussian(12, 6, 0) + 2, gaussian(12, 6, 1)) > np.quantile(draws, 0.99)


def test_the_floor_shrinks_with_n_and_a_shift_lies_above_it():
    reference = gaussian(200, 20)
    small, _ = frechet_floor(reference, 10)
    large, (_, high) = frechet_floor(reference, 100)
    assert 0 < large < small
    assert frechet_distance(gaussian(100, 20, 9) + 1, reference) > high


def test_extrapolation_removes_most_of_the_bias():
    x, y = gaussian(120, 20, 1), gaussian(120, 20, 2)
    at_infinity, sizes, means = frechet_extrapolated(x, y)
    assert list(sizes) == sorted(sizes) and means[0] > means[-1]
    assert abs(at_infinity) < 0.5 * means[-1]


def test_the_interval_surrounds_the_value_and_repeats():
    x, y = gaussian(40, 10, 1), gaussian(40, 10, 2) + 0.3
    low, high = frechet_interval(x, y)
    assert low < frechet_distance(x, y) < high
    assert (low, high) == frechet_interval(x, y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (gaussian(1, 4), gaussian(5, 4), "features must be .* n >= 2"),
        (gaussian(5, 4), gaussian(5, 3), "4 dimensions, reference has 3"),
        (gaussian(5, 4), np.full((5, 4), np.nan), r"reference hold NaN or infinity in rows \[0, 1"),
    ],
)
def test_bad_features_are_named(x, y, message):
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match=message):
            distance(x, y)


def test_features_of_2048_by_400_take_under_a_second():
    x, y = gaussian(2048, 400, 1), gaussian(2048, 400, 2)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        frechet_distance(x, y)
        took.append(time.perf_counter() - started)
    assert min(took) < 1.0


@pytest.fixture(scope="module")
def clips():
    layers = [Layer(dx=1.0), Layer(dx=-2.0), Layer(zoom=0.01), Layer(dy=1.5)]
    return [
        synthetic_clip([layer], num_frames=9, height=64, width=112, seed=s)[0]
        for s in (0, 10)
        for layer in layers
    ]


def test_frame_features_do_not_depend_on_company_or_order_and_see_motion(clips):
    extractor = FrameFeatures()
    together = extractor(clips[:3])
    assert together.shape == (3, 2560)
    np.testing.assert_array_equal(extractor(clips[2::-1])[::-1], together)
    still = np.repeat(clips[0][:1], 9, axis=0)
    assert np.abs(extractor([still])[0, 1280:]).max() == 0
    assert together[0, 1280:].mean() > 0


def test_threads_change_features_by_rounding_only(clips):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = FrameFeatures()(clips[:2])
        torch.set_num_threads(2)
        np.testing.assert_allclose(FrameFeatures()(clips[:2]), one, rtol=1e-4, atol=1e-5)
    finally:
        torch.set_num_threads(threads)


def test_distances_do_not_depend_on_order_or_on_a_second_run(clips):
    x, y = gaussian(12, 30, 1), gaussian(9, 30, 2)
    shuffled = np.random.default_rng(0).permutation(12)
    for distance in (frechet_distance, kernel_distance):
        assert distance(x[shuffled], y[::-1]) == pytest.approx(distance(x, y), rel=1e-9)
        assert distance(x, y) == distance(x, y)


def test_stand_in_distances_are_named_for_the_stand_in(clips):
    results = video_distances(clips[:4], clips[4:], FrameFeatures())
    assert set(results) == {"FD[effnet-lite0-frames]", "KD[effnet-lite0-frames]"}
    frechet = results["FD[effnet-lite0-frames]"]
    assert frechet.n == 4 and frechet.weights_sha256 and "128x128" in frechet.preprocessing
    assert frechet.extra["floor_low"] <= frechet.extra["floor"] <= frechet.extra["floor_high"]
    assert frechet.interval[0] <= frechet.value <= frechet.interval[1]


def test_missing_i3d_says_how_to_fetch_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="curl"):
        I3D(tmp_path / "i3d.pt", "0" * 64)


def test_wrong_weights_are_refused(tmp_path):
    (tmp_path / "i3d.pt").write_bytes(b"not a network")
    with pytest.raises(ValueError, match="has SHA-256"):
        I3D(tmp_path / "i3d.pt", "0" * 64)


def test_published_fvd_of_zeros_against_ones():
    path, sha256 = os.environ.get("CINELIB_I3D"), os.environ.get("CINELIB_I3D_SHA256")
    if not path or not sha256:
        pytest.skip("NEEDS THE I3D WEIGHTS: set CINELIB_I3D and CINELIB_I3D_SHA256")
    extractor = I3D(path, sha256)
    zeros, ones = (extractor([np.full((30, 64, 64, 3), value, np.uint8)] * 8) for value in (0, 255))
    assert frechet_distance(zeros, ones) == pytest.approx(151.256, abs=1)
