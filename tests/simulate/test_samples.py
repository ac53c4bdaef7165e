"""The three samples under File > Open Sample."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage
from scipy.signal import convolve

from napari_sbd import _sample_data
from napari_sbd.simulate import dense, haadf, impurity_image, isolated

SAMPLES = [isolated, dense, haadf]


@pytest.mark.parametrize("make", SAMPLES)
def test_truth_is_complete_and_consistent(make):
    sample = make(2)
    count, (rows, cols) = len(sample.kernels), sample.image.shape
    assert sample.image.shape == sample.clean.shape
    assert np.all(np.isfinite(sample.image))
    assert sample.activations.shape == (count, rows, cols)
    assert all(size % 2 for size in sample.window)
    np.testing.assert_allclose(np.linalg.norm(sample.kernels, axis=(1, 2)), 1)
    assert len(sample.positions) == len(sample.types) == len(sample.amplitudes)
    assert np.all((sample.positions >= 0) & (sample.positions <= [rows - 1, cols - 1]))
    assert np.all(sample.amplitudes > 0)
    pixels = np.rint(sample.positions).astype(int)
    np.testing.assert_allclose(sample.activations[sample.types, *pixels.T], sample.amplitudes)


@pytest.mark.parametrize("make", SAMPLES)
def test_the_seed_gives_the_sample_again(make):
    first, again, other = make(5), make(5), make(6)
    np.testing.assert_array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


def test_isolated_impurities_are_apart_between_pixels_and_reach_the_border():
    positions = np.concatenate([isolated(seed).positions for seed in range(3)])
    assert len(positions) == 180
    assert np.abs(positions - np.rint(positions)).max() > 0.4
    assert np.minimum(positions, 255 - positions).min() < 10
    one = isolated(0).positions
    apart = np.linalg.norm(one[:, None] - one[None], axis=-1)[np.triu_indices(60, 1)]
    assert 15 < apart.min() < 41


def test_isolated_has_the_stated_noise():
    sample = isolated(1, noise_db=6.0)
    assert 10 * np.log10(sample.clean.var() / (sample.image - sample.clean).var()) == pytest.approx(
        6, abs=0.1
    )
    np.testing.assert_array_equal(isolated(1, None).image, isolated(1).clean)


def test_one_isolated_impurity_is_the_kernel_but_for_its_own_strength():
    sample = isolated(0, None, impurities=1, shape=(128, 128))
    row, col = sample.positions[0]
    host = sample.clean[-20:, :20].mean()
    centred = ndimage.shift(sample.clean - host, (64 - row, 64 - col), order=5)
    seen = centred[44:85, 44:85]
    similarity = np.vdot(seen, sample.kernel) / np.linalg.norm(seen)
    assert similarity > 0.995
    assert np.vdot(seen, sample.kernel) == pytest.approx(sample.amplitudes[0], rel=0.01)


def test_isolated_window_holds_the_kernel():
    kernel = isolated().kernel
    larger = impurity_image(201, -2.4, 0.08, -2.5)
    inside = larger[80:121, 80:121]
    np.testing.assert_allclose(inside / np.linalg.norm(inside), kernel, atol=1e-9)
    assert (inside**2).sum() > 0.98 * (larger**2).sum()


def test_kernel_by_map_leaves_an_honest_residual():
    """Exact multiple scattering is not a convolution, but is mostly one."""
    sample = isolated(0, None)
    model = np.zeros_like(sample.clean)
    kernel = np.pad(sample.kernel, 4)
    for (row, col), amplitude in zip(sample.positions, sample.amplitudes, strict=True):
        near = np.array([np.floor(row + 0.5), np.floor(col + 0.5)]).astype(int)
        placed = ndimage.shift(kernel, (row - near[0], col - near[1]), order=5) * amplitude
        canvas = np.zeros(np.array(model.shape) + 48)
        canvas[near[0] : near[0] + 49, near[1] : near[1] + 49] = placed
        model += canvas[24:-24, 24:-24]
    clean = sample.clean - sample.clean.mean()
    residual = clean - (model - model.mean())
    assert 0.05 < np.linalg.norm(residual) / np.linalg.norm(clean) < 0.25


def test_isolated_drift_moves_the_truth_too():
    still, drifted = isolated(2, None), isolated(2, None, artefacts={"drift": 6.0})
    assert not np.array_equal(still.positions, drifted.positions)
    smooth = ndimage.gaussian_filter(drifted.image, 1)
    inside = np.all((drifted.positions > 12) & (drifted.positions < 243), axis=1)
    for row, col in drifted.positions[inside]:
        r, c = round(row), round(col)
        lowest = np.unravel_index(smooth[r - 4 : r + 5, c - 4 : c + 5].argmin(), (9, 9))
        assert np.hypot(r - 4 + lowest[0] - row, c - 4 + lowest[1] - col) < 1.5


@pytest.mark.parametrize(
    ("impurities", "message"), [(0, "at least 1"), (3000, "give fewer"), (-1, "impurities")]
)
def test_isolated_says_how_many_impurities_are_possible(impurities, message):
    with pytest.raises(ValueError, match=message):
        isolated(impurities=impurities)


def test_dense_is_figure_3():
    sample = dense(1)
    assert sample.image.shape == (185, 185)
    assert sample.window == (25, 25)
    assert np.count_nonzero(sample.activations) == len(sample.positions) == 934
    noise = sample.image - sample.clean
    assert sample.kernel.var() / noise.var() == pytest.approx(0.792, rel=0.03)
    model = convolve(sample.activations[0], sample.kernel, "same")
    np.testing.assert_allclose(sample.clean, model, atol=1e-12)


def test_haadf_truth_explains_what_differs_from_the_perfect_lattice():
    sample, perfect = haadf(3), haadf(3, dopants=0, vacancies=0)
    difference = sample.clean - perfect.clean
    assert np.bincount(sample.types).tolist() == [14, 8]
    assert perfect.positions.shape == (0, 2)
    for kind, position in zip(sample.types, sample.positions, strict=True):
        pixel = tuple(np.rint(position).astype(int))
        assert (difference[pixel] > 0) == (kind == 0)
        assert abs(difference[pixel]) > 40
    far = ndimage.distance_transform_edt(sample.activations.sum(0) == 0) > 12
    np.testing.assert_allclose(difference[far], 0, atol=1e-3)


def test_haadf_counts_are_poisson():
    sample = haadf(1)
    assert np.array_equal(sample.image, np.rint(sample.image))
    assert sample.image.min() >= 0
    scaled = (sample.image - sample.clean) / np.sqrt(sample.clean)
    assert scaled.mean() == pytest.approx(0, abs=0.02)
    assert scaled.var() == pytest.approx(1, abs=0.03)
    assert (sample.image - sample.clean).std() == pytest.approx(sample.noise_std, rel=0.03)


def test_haadf_lattice_has_its_constant_in_nm():
    sample = haadf(0, dopants=0, vacancies=0)
    spectrum = np.abs(np.fft.fft2(sample.clean - sample.clean.mean(), (1024, 1024)))
    peak = np.unravel_index(spectrum[:512, :512].argmax(), (512, 512))
    frequency = np.linalg.norm(peak) / 1024 / sample.pixel_size[0]
    assert 1 / (frequency * np.cos(np.pi / 6)) == pytest.approx(0.32, rel=0.02)


@pytest.mark.parametrize(("option", "value"), [("dose", 0.0), ("dopants", 10_000), ("vacancies", -1)])
def test_wrong_haadf_input_is_named(option, value):
    with pytest.raises(ValueError, match=option):
        haadf(**{option: value})


@pytest.mark.parametrize("name", ["isolated", "dense", "haadf"])
def test_layer_data_is_calibrated_and_carries_the_truth(name):
    ((image, attributes, kind),) = getattr(_sample_data, f"{name}_sample")()
    assert kind == "image"
    assert image.ndim == 2
    assert attributes["name"] == name
    assert attributes["units"] == ("nm", "nm")
    assert attributes["axis_labels"] == ("y", "x")
    assert all(0.01 < size < 0.5 for size in attributes["scale"])
    truth = attributes["metadata"]["napari-sbd"]["truth"]
    assert json.loads(json.dumps(truth)) == truth
    assert np.shape(truth["kernels"])[1:] == tuple(truth["window"])
    assert len(truth["positions"]) == len(truth["types"]) == len(truth["amplitudes"])


def test_making_samples_needs_neither_napari_nor_qt():
    code = (
        "import sys, napari_sbd._sample_data as s; s.dense_sample(); "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('napari', 'qtpy', 'PyQt6', 'PySide6')))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
