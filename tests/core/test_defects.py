import numpy as np
import pandas as pd
import pytest

from napari_sbd.core.amplitude_errors import autocorrelation, standard_errors
from napari_sbd.core.defects import candidate_table, chosen_rows, odd_ones, shadowed
from napari_sbd.core.peaks import WEAKEST, Peaks, find_peaks, typical_amplitude
from napari_sbd.simulate import ldos_kernel

WINDOW = (7, 7)


def empty(shape, window=WINDOW):
    return np.zeros((1, *(n + k - 1 for n, k in zip(shape, window, strict=True))))


def on_frame(extended, shape, window=WINDOW):
    first = [k // 2 for k in window]
    return extended[:, first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]


def table(extended, shape=(40, 50), window=WINDOW, noise=0.01, **options):
    kernels = ldos_kernel(9, -2.0)[1 : 1 + window[0], 1 : 1 + window[1]]
    kernels = (kernels / np.linalg.norm(kernels))[None, None].repeat(len(extended), 0)
    peaks = [find_peaks(map_, window) for map_ in extended]
    found = candidate_table(peaks, kernels, np.ones((1, *shape), bool), noise, **options)
    return chosen_rows(found, 4.0, WEAKEST)


def test_an_empty_map_gives_an_empty_table_with_all_columns():
    found = table(empty((40, 50)), pixel_size=(0.2, 0.1), unit="nm")
    assert len(found) == 0
    expected = ["type", "row", "col", "y_nm", "x_nm", "amplitude", "amplitude_error", "snr", "near_border"]
    assert list(found.columns) == expected


@pytest.mark.parametrize("window", [(7, 7), (6, 6), (5, 8)])
def test_positions_are_on_the_images_grid_and_in_its_unit(window):
    extended = empty((40, 50), window)
    on_frame(extended, (40, 50), window)[0, 12, 30] = 3
    found = table(extended, window=window, pixel_size=(0.2, 0.1), unit="nm")
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["type"], row["row"], row["col"], row["amplitude"]) == (0, 12, 30, 3)
    assert (row["y_nm"], row["x_nm"]) == pytest.approx((2.4, 3.0))
    assert row["snr"] == pytest.approx(row["amplitude"] / row["amplitude_error"])


def test_an_activation_that_was_split_is_one_defect():
    extended = empty((40, 50))
    inside = on_frame(extended, (40, 50))
    inside[0, 10, 10:12], inside[0, 11, 10] = (2, 1), 1
    inside[0, 30, 40] = 4
    found = table(extended).sort_values("row")
    np.testing.assert_allclose(found["amplitude"], [4, 4])
    np.testing.assert_allclose(found[["row", "col"]], [[10.25, 10.25], [30, 40]])


def test_close_defects_stay_apart_where_they_are_dense(rng):
    """Three pixels apart on a grid: every one is kept."""
    extended = empty((40, 50))
    places = np.stack(np.meshgrid(np.arange(4, 36, 3), np.arange(4, 46, 3), indexing="ij"), -1).reshape(-1, 2)
    on_frame(extended, (40, 50))[0][tuple(places.T)] = rng.uniform(0.8, 1.2, len(places))
    found = table(extended, noise=1e-4)
    assert sorted(map(tuple, found[["row", "col"]].to_numpy().round(6))) == sorted(map(tuple, places))


def test_rows_are_sorted_by_amplitude_within_types():
    extended = empty((40, 50)).repeat(2, 0)
    inside = on_frame(extended, (40, 50))
    inside[0, 5, 5], inside[0, 20, 20], inside[0, 30, 30] = 2, -4, 3
    inside[1, 9, 9] = 7
    found = table(extended)
    assert found["type"].tolist() == [0, 0, 0, 1]
    assert found["amplitude"].tolist() == [-4, 3, 2, 7]


def test_weak_activations_and_those_in_the_noise_are_no_defects():
    extended = empty((40, 50))
    inside = on_frame(extended, (40, 50))
    inside[0, 5, 5], inside[0, 20, 20], inside[0, 30, 30] = 1, 1, 0.1
    assert len(table(extended)) == 2
    assert len(table(extended, noise=0.5)) == 0  # signal-to-noise ratio of 2


@pytest.mark.parametrize("window", [(7, 7), (6, 8)])
def test_border_flag_says_that_part_of_the_kernel_lies_outside(window):
    """Kernel index (k - 1) // 2 sits on the defect: it reaches that far up and k // 2 down."""
    shape = (60, 70)
    before = [(k - 1) // 2 for k in window]
    after = [n - 1 - k // 2 for n, k in zip(shape, window, strict=True)]
    inside = [(before[0], 35), (30, before[1]), (after[0], 20), (15, after[1])]
    outside = [(before[0] - 1, 20), (50, before[1] - 1), (after[0] + 1, 50), (40, after[1] + 1)]
    extended = empty(shape, window)
    for place in inside + outside:
        on_frame(extended, shape, window)[(0, *place)] = 1
    found = table(extended, shape, window, noise=1e-4)
    flags = {(r, c): b for r, c, b in found[["row", "col", "near_border"]].itertuples(index=False)}
    assert flags == {**dict.fromkeys(inside, False), **dict.fromkeys(outside, True)}


def test_atoms_outside_the_frame_are_not_listed():
    extended = empty((40, 50))
    extended[0, 0, 20] = extended[0, -1, 20] = extended[0, 20, 0] = 5
    on_frame(extended, (40, 50))[0, 20, 20] = 5
    assert len(table(extended)) == 1


def test_peaks_take_the_strongest_first_and_use_every_activation_once():
    extended = np.zeros((30, 30))
    extended[10, 10:15] = 1, 3, 1, 0.5, 2
    peaks = find_peaks(extended, (3, 3))
    assert peaks.amplitudes.sum() == pytest.approx(7.5)
    assert len(find_peaks(np.zeros((9, 9)), (3, 3)).amplitudes) == 0


def test_the_typical_amplitude_hardly_sees_many_weak_ones():
    assert typical_amplitude(np.array([0.01] * 100 + [-2.0, 2.1, 2.2])) == pytest.approx(2.1)
    assert typical_amplitude(np.empty(0)) == 0


def atoms_at(places, kernel, shape, mask):
    """Image of each defect, one column each, as the model places it."""
    columns = []
    for row, col in places:
        canvas = np.zeros((shape[0] + 40, shape[1] + 40))
        first = [20 + p - (k - 1) // 2 for p, k in zip((row, col), kernel.shape, strict=True)]
        canvas[first[0] : first[0] + kernel.shape[0], first[1] : first[1] + kernel.shape[1]] = kernel
        columns.append((mask * canvas[20:-20, 20:-20]).ravel())
    return np.stack(columns, 1)


@pytest.mark.parametrize("size", [9, 8])
def test_standard_errors_are_the_spread_of_least_squares_amplitudes(rng, size):
    kernel = rng.standard_normal((size, size)) + 1
    kernel /= np.linalg.norm(kernel)
    shape, places = (40, 44), [(12, 12), (14, 15), (11, 16), (30, 30), (0, 25), (30, 5)]
    mask = np.ones(shape, bool)
    mask[28:40, 2:6] = False  # half of the last one
    atoms = atoms_at(places, kernel, shape, mask)
    noise = rng.normal(0, 0.3, (len(atoms), 4000))
    spread = np.linalg.lstsq(atoms, noise, rcond=None)[0].std(1)
    peaks = Peaks(np.array(places, float), np.ones(len(places)))
    errors = standard_errors(peaks, kernel[None], mask[None], 0.3)
    np.testing.assert_allclose(errors, spread, rtol=0.05)
    some = np.arange(len(places)) % 2 == 1
    np.testing.assert_allclose(
        standard_errors(peaks, kernel[None], mask[None], 0.3, which=some), errors[some]
    )
    assert errors[3] == pytest.approx(0.3, rel=1e-3)  # alone and whole: the noise itself
    assert errors[:3].min() > 0.305  # overlap costs
    assert errors[4:].min() > 0.35  # and so does what cannot be seen


def test_autocorrelation_has_its_zero_lag_in_the_middle(rng):
    kernel = rng.standard_normal((2, 4, 5))
    overlap = autocorrelation(kernel)
    assert overlap.shape == (7, 9)
    assert overlap[3, 4] == pytest.approx(np.sum(kernel**2))
    assert overlap[4, 5] == pytest.approx(np.sum(kernel[:, 1:, 1:] * kernel[:, :-1, :-1]))


def test_a_piece_of_a_defect_among_alike_ones_is_odd(rng):
    alike = 5 * (1 + 0.05 * rng.standard_normal(20))
    assert odd_ones(np.append(alike, [2.0, 4.4])).nonzero()[0].tolist() == [20]
    assert not odd_ones(np.append(rng.uniform(2, 8, 20), 2.0)).any()
    assert odd_ones(np.concatenate([-alike, 2 + 0.1 * alike])).sum() == 0


def test_what_sits_on_a_much_stronger_defect_is_shadowed():
    apart = np.hypot(*np.ogrid[-8:9, -8:9])
    kernels = np.stack([apart <= 5.0, apart <= 2.0]).astype(float)[:, None]
    kernels /= np.linalg.norm(kernels, axis=(2, 3), keepdims=True)
    table = pd.DataFrame(
        {
            "type": [0, 1, 1, 1, 1, 1],
            "row": [10.0, 13, 12, 40, 15, 10],
            "col": [10.0, 10, 12, 40, 10, 2],
            # A disc of 2 px holds 13 of the 81 pixels of one of 5 px.
            "amplitude": [9, 1.4, 1.5, 1, 0.8, 0.1],
        }
    )
    assert shadowed(table, kernels).tolist() == [False, True, False, False, True, False]
