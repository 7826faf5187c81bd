"""Frechet and kernel distances against closed forms and published values."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from backlot.synthetic import Layer, synthetic_clip

from cinelib.files import hash_of
from cinelib.metrics import resampling
from cinelib.metrics.distances import kernel_matrices
from cinelib.metrics.extractors import I3D, I3D_SHA256, FrameFeatures
from cinelib.metrics.frechet import DistanceMetric, feature_distances, frechet_distance, kernel_distance
from cinelib.metrics.resampling import (
    extrapolated_interval,
    frechet_extrapolated,
    frechet_floor,
    frechet_interval,
    kernel_interval,
)

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


def test_kernels_reproduce_the_published_matrices():
    a = np.arange(1.0, 10).reshape(3, 3)
    b = np.array([[7.0, 6, 5], [4, 3, 2], [1, 1, 8], [0, 2, 5]])

    def biased(**kernel):  # the V-statistic, of which they were printed
        xx, yy, xy = kernel_matrices(a, b, **kernel)
        return xx.mean() + yy.mean() - 2 * xy.mean()

    quadratic = biased(degree=2, coef0=0)
    assert quadratic == pytest.approx(270.7, abs=0.05)
    # The 2436.5 printed beside these matrices is the quadratic kernel without the division by d = 3.
    assert 9 * quadratic == pytest.approx(2436.5, abs=0.05)

    def mean(x, y):
        return np.mean([(np.dot(p, q) / 3 + 1) ** 3 for p in x for q in y])

    assert biased() == pytest.approx(mean(a, a) + mean(b, b) - 2 * mean(a, b), rel=1e-12)


def test_a_kernel_divides_by_the_dimensions_however_many_rows_there_are():
    x, y = np.array([[1.0, 2.0], [0.0, 4.0], [2.0, 2.0]]), np.array([[3.0, 1.0]] * 4)
    within, _, across = kernel_matrices(x, y)
    assert within[0] == pytest.approx([3.5**3, 5**3, 4**3]) and across[:, 0] == pytest.approx(
        [42.875, 27, 125]
    )


def test_three_reference_clips_are_too_few_and_the_remark_says_so():
    network = type("Network", (), {"name": "n", "published": False})()
    rows = list(np.eye(4))
    entry = DistanceMetric(network, 1.0).between(rows, rows[:3], 16.0)["FD[n]"]
    assert entry == {"n": 4, "remark": "needs 2 clips and 4 reference clips, has 4 and 3"}


def test_the_unbiased_kernel_distance_is_zero_on_average_and_grows_with_a_shift():
    draws = [kernel_distance(gaussian(12, 6, 2 * s), gaussian(12, 6, 2 * s + 1)) for s in range(200)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(200)
    assert kernel_distance(gaussian(12, 6, 0) + 2, gaussian(12, 6, 1)) > np.quantile(draws, 0.99)


def test_the_floor_shrinks_with_n_and_a_shift_lies_above_it():
    reference = gaussian(200, 20)
    small, _ = frechet_floor(gaussian(10, 20, 8), reference)
    large, (low, high) = frechet_floor(gaussian(100, 20, 9), reference)
    assert 0 < low < large < high < small
    shifted = gaussian(100, 20, 9) + 1
    assert frechet_distance(shifted, reference) > frechet_floor(shifted, reference)[1][1]


@pytest.mark.parametrize(("n", "m", "d"), [(8, 12, 20), (20, 60, 20), (12, 20, 60)])
def test_a_perfect_model_is_below_the_floor_in_half_of_the_draws(n, m, d):
    draws = np.random.default_rng(n)
    below = []
    for _ in range(80):
        x, y = draws.normal(size=(n, d)), draws.normal(size=(m, d))
        below.append(frechet_distance(x, y) < frechet_floor(x, y, repeats=8)[0])
    # 80 fair coins: between 24 and 56 heads but for one time in 4000.
    assert 0.3 <= np.mean(below) <= 0.7


def test_too_few_real_clips_give_no_floor():
    with pytest.raises(ValueError, match="n = 9 needs 11 reference clips, got 5"):
        frechet_floor(gaussian(9, 4), gaussian(5, 4))


def cloud(n, d, power, draws, shift=0.0):
    """n draws of a Gaussian with eigenvalues 1 / k^power, total variance d."""
    scale = np.arange(1, d + 1) ** (-power / 2)
    return draws.normal(size=(n, d)) * scale * np.sqrt(d / np.square(scale).sum()) + shift


@pytest.mark.parametrize("power", [0, 1], ids=["flat spectrum", "1/k"])
def test_extrapolation_from_fewer_clips_than_three_times_the_dimensions_is_refused_with_reason(
    monkeypatch, power
):
    draws = np.random.default_rng(0)
    with pytest.raises(ValueError, match="20 dimensions need 60 clips on each side, got 59"):
        frechet_extrapolated(gaussian(59, 20), gaussian(80, 20))
    monkeypatch.setattr(resampling, "enough_to_extrapolate", lambda dimensions: 3)
    errors = {}
    for n in (8, 20, 60):
        pairs = [(cloud(n, 20, power, draws), cloud(n, 20, power, draws)) for _ in range(16)]
        found = np.array([frechet_extrapolated(x, y, repeats=3)[0] for x, y in pairs])
        errors[n] = found.mean(), found.std()
    # The truth is 0. Below the limit the answer is elsewhere by far more than it scatters, at the limit not.
    assert errors[8][0] > 2 * errors[8][1] and errors[20][0] > errors[20][1]
    assert abs(errors[60][0]) < 0.75 * errors[60][1]


def test_the_interval_of_the_extrapolation_covers_the_truth():
    draws, covered = np.random.default_rng(3), []
    for shift in (0.0, 0.5):
        for _ in range(12):
            x, y = cloud(30, 10, 1, draws), cloud(30, 10, 1, draws, shift)
            low, high = extrapolated_interval(x, y, repeats=20)
            covered.append(low <= 10 * shift**2 <= high)
    assert np.mean(covered) >= 0.9


def test_extrapolation_uses_sizes_down_to_a_third():
    at_infinity, sizes, means = frechet_extrapolated(gaussian(120, 20, 1), gaussian(120, 20, 2))
    assert sizes[0] == 40 and sizes[-1] == 120 and list(sizes) == sorted(sizes)
    assert abs(at_infinity) < 0.5 * means[-1] < 0.5 * means[0]


def test_the_interval_surrounds_the_value_and_repeats():
    x, y = gaussian(40, 10, 1), gaussian(40, 10, 2) + 0.3
    for interval, distance in ((frechet_interval, frechet_distance), (kernel_interval, kernel_distance)):
        low, high = interval(x, y)
        assert low < distance(x, y) < high
        assert (low, high) == interval(x, y)
        with pytest.raises(ValueError, match="4 clips on each side, got 3 and 40"):
            interval(x[:3], y)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_kernel_interval_covers_the_expected_distance(shift):
    draws = np.random.default_rng(1)
    pairs = [(draws.normal(size=(20, 6)), draws.normal(size=(30, 6)) + shift) for _ in range(150)]
    # The statistic is unbiased, so its mean over many sets is the truth.
    truth = np.mean([kernel_distance(x, y) for x, y in pairs])
    spans = [kernel_interval(x, y, repeats=150) for x, y in pairs]
    assert np.mean([low <= truth <= high for low, high in spans]) >= 0.88
    if shift:
        assert np.mean([low > 0 for low, _ in spans]) > 0.5, "wide enough to say nothing"


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


def test_linear_algebra_rounds_alike_on_any_number_of_threads_and_puts_it_back():
    x, y = gaussian(300, 64, 1), gaussian(200, 64, 2)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append((frechet_distance(x, y), kernel_distance(x, y)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


@pytest.mark.slow
def test_busy_cores_cost_time_in_proportion_only():
    x, y = gaussian(2048, 400, 1), gaussian(2048, 400, 2)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        started = time.perf_counter()
        frechet_distance(x, y)
        assert time.perf_counter() - started < 4.0  # 15 s and more with threads that spin
    finally:
        for process in busy:
            process.kill()
            process.wait()


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


@pytest.mark.parametrize("size", [1, 3, 8])
def test_batch_size_changes_features_by_rounding_only(clips, size):
    mixed = [clips[0], clips[5][:, :48], *clips[1:4], clips[6][:7], clips[4]]  # three shapes
    alone = np.concatenate([FrameFeatures()([clip]) for clip in mixed])
    together = FrameFeatures(batch_size=size)(mixed)
    assert np.abs(together - alone).max() < 1e-4 * np.abs(alone).max()


def test_no_clips_and_no_batch_are_refused(clips):
    with pytest.raises(ValueError, match="got 0 clips and 4"):
        FrameFeatures()([])
    with pytest.raises(ValueError, match="got 2 clips and 0"):
        FrameFeatures(batch_size=0)(clips[:2])


def test_distances_do_not_depend_on_order_or_on_a_second_run():
    x, y = gaussian(12, 30, 1), gaussian(9, 30, 2)
    shuffled = np.random.default_rng(0).permutation(12)
    for distance in (frechet_distance, kernel_distance):
        assert distance(x[shuffled], y[::-1]) == pytest.approx(distance(x, y), rel=1e-9)
        assert distance(x, y) == distance(x, y)


def test_intervals_floor_and_extrapolation_do_not_depend_on_order():
    x, y = gaussian(40, 4, 1), gaussian(60, 4, 2)
    order = np.random.default_rng(0)
    shuffled = x[order.permutation(40)], y[order.permutation(60)]
    plain, other = (feature_distances(*pair, FrameFeatures()) for pair in ((x, y), shuffled))
    assert {name: result.as_metric() for name, result in plain.items()} == {
        name: result.as_metric() for name, result in other.items()
    }
    assert set(plain["FD[effnet-lite0-frames]"].extra) == {
        "n_reference", "floor", "floor_low", "floor_high", "floor_n", "floor_n_reference",
        "at_infinite_n", "at_infinite_n_low", "at_infinite_n_high",
    }  # fmt: skip


def test_stand_in_distances_are_named_for_the_stand_in_and_carry_what_they_rest_on(clips):
    network = FrameFeatures()
    results = feature_distances(network(clips[:4]), network(clips[2:]), network, fps=16)
    assert set(results) == {"FD[effnet-lite0-frames]", "KD[effnet-lite0-frames]"}
    for result in results.values():
        entry = result.as_metric()
        assert entry["n"] == 4 and entry["n_reference"] == 6 and entry["fps"] == 16
        assert entry["weights_sha256"] and "128x128" in entry["preprocessing"]
        assert entry["versions"]["torch"] == torch.__version__.split("+")[0]
        assert entry["implementation"] == "cinelib"
        assert entry["interval"][0] <= entry["value"] <= entry["interval"][1]
    frechet = results["FD[effnet-lite0-frames]"]
    assert frechet.extra["floor_low"] <= frechet.extra["floor"] <= frechet.extra["floor_high"]
    assert (frechet.extra["floor_n"], frechet.extra["floor_n_reference"]) == (4, 2)
    assert "at_infinite_n" not in frechet.extra
    assert frechet.notes == {"at_infinite_n": "2560 dimensions need 7680 clips on each side, got 4"}


def test_what_few_clips_cannot_give_is_left_out_with_the_reason():
    frechet, kernel = feature_distances(gaussian(3, 4), gaussian(4, 4, 1), FrameFeatures()).values()
    assert frechet.interval is None and "floor" not in frechet.extra
    assert frechet.notes["floor"] == "real against real at n = 3 needs 5 reference clips, got 4"
    assert "4 clips on each side, got 3 and 4" in frechet.as_metric()["notes"]["interval"]
    assert kernel.interval is None and set(kernel.notes) == {"interval"}


class FirstAndLast(torch.nn.Module):
    """In I3D's place: brightness of the first and the last frame that it is given, and how many there are."""

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool):
        assert rescale and resize and return_features
        frames = x.mean(dim=(1, 3, 4))
        return torch.stack([frames[:, 0], frames[:, -1], torch.full_like(frames[:, 0], x.shape[2])], dim=1)


@pytest.fixture
def i3d_file(tmp_path):
    torch.jit.script(FirstAndLast()).save(str(tmp_path / "i3d.pt"))
    return tmp_path / "i3d.pt"


@pytest.mark.parametrize(("frames", "expected"), [(16, (7, 22, 16)), (20, (5, 24, 20)), (None, (0, 29, 30))])
def test_i3d_sees_consecutive_frames_from_the_middle(i3d_file, frames, expected):
    clip = np.broadcast_to(np.arange(30, dtype=np.uint8)[:, None, None, None], (30, 8, 8, 3))
    extractor = I3D(i3d_file, hash_of(i3d_file), frames=frames)
    np.testing.assert_array_equal(extractor([clip, clip[:, :4]]), [expected, expected])


def test_only_the_published_i3d_on_16_frames_makes_a_bare_name(i3d_file, monkeypatch):
    sha256 = hash_of(i3d_file)
    other = I3D(i3d_file, sha256)
    assert not other.published and other.name == f"i3d-{sha256[:8]}"
    monkeypatch.setattr("cinelib.metrics.extractors.I3D_SHA256", sha256)
    published, whole = I3D(i3d_file, sha256), I3D(i3d_file, sha256, frames=None)
    assert published.published and "middle 16 consecutive" in published.preprocessing
    assert not whole.published and whole.name == "i3d-all-frames" and "all frames" in whole.preprocessing
    assert set(feature_distances(gaussian(4, 3), gaussian(6, 3), published)) == {"FVD", "KVD"}
    assert "FD[i3d-all-frames]" in feature_distances(gaussian(4, 3), gaussian(6, 3), whole)


def test_i3d_refuses_clips_and_windows_that_are_too_short(i3d_file):
    with pytest.raises(ValueError, match="at least 16"):
        I3D(i3d_file, hash_of(i3d_file))([np.zeros((15, 8, 8, 3), np.uint8)])
    with pytest.raises(ValueError, match="at least 10 frames, got 9"):
        I3D(i3d_file, hash_of(i3d_file), frames=9)


def test_missing_i3d_says_how_to_fetch_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="curl"):
        I3D(tmp_path / "i3d.pt", "0" * 64)


def test_wrong_weights_are_refused(tmp_path):
    (tmp_path / "i3d.pt").write_bytes(b"not a network")
    with pytest.raises(ValueError, match="has SHA-256"):
        I3D(tmp_path / "i3d.pt", "0" * 64)


def test_published_fvd_of_zeros_against_ones():
    path = os.environ.get("CINELIB_I3D")
    if not path:
        pytest.skip("NEEDS THE I3D WEIGHTS: set CINELIB_I3D to i3d_torchscript.pt")
    clips = {value: [np.full((30, 64, 64, 3), value, np.uint8)] * 8 for value in (0, 255)}
    # Printed by common_metrics_on_video_quality for all 30 frames and for the first 16.
    for frames, expected in ((None, 151.256), (16, 152.918)):
        extractor = I3D(path, I3D_SHA256, frames=frames)
        assert frechet_distance(extractor(clips[0]), extractor(clips[255])) == pytest.approx(expected, abs=1)
