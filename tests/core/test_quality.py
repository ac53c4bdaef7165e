import numpy as np
import pytest

from napari_sbd.core.quality import agreement, kernel_similarity, overlap_similarity, starts_agreeing
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field


def test_similarity_knows_neither_shift_nor_sign_nor_scale_nor_window(rng):
    kernel = rng.standard_normal((6, 5))
    moved = -1e-9 * np.pad(kernel, ((3, 0), (1, 4)))
    assert kernel_similarity(moved, kernel) == pytest.approx(1)
    assert kernel_similarity(kernel, moved) == pytest.approx(1)


def test_shifts_do_not_wrap_round():
    kernel = np.zeros((5, 5))
    kernel[0, 0], kernel[4, 4] = 1, 1
    touching = np.zeros((5, 5))
    touching[0, 0], touching[1, 1] = 1, 1
    assert kernel_similarity(kernel, touching) == pytest.approx(0.5)


def test_a_truncation_loses_what_it_cuts(rng):
    kernel = rng.standard_normal((8, 8))
    held = np.linalg.norm(kernel[2:]) / np.linalg.norm(kernel)
    assert kernel_similarity(kernel[2:], kernel) == pytest.approx(held)


def test_slices_share_one_shift_and_one_sign(rng):
    kernel = rng.standard_normal((3, 6, 6))
    assert kernel_similarity(-np.pad(kernel, ((0, 0), (2, 0), (0, 2))), kernel) == pytest.approx(1)
    flipped = kernel * np.array([1, -1, 1])[:, None, None]
    assert kernel_similarity(flipped, kernel) < 0.9
    with pytest.raises(ValueError, match="slices"):
        kernel_similarity(kernel, kernel[:2])


def test_an_empty_kernel_is_like_nothing(rng):
    assert kernel_similarity(np.zeros((5, 5)), rng.standard_normal((5, 5))) == 0


def test_similarity_is_the_one_that_issues_are_measured_with(rng, shared):
    import importlib.util

    home = shared / "score.py"
    if not home.is_file():
        pytest.skip("needs ../shared/score.py, which is not there")
    spec = importlib.util.spec_from_file_location("score", home)
    score = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    for shapes in [((7, 7), (7, 7)), ((5, 9), (8, 4))]:
        a, b = (rng.standard_normal(shape) for shape in shapes)
        assert kernel_similarity(a, b) == pytest.approx(score.kernel_similarity(a, b))


def test_agreement_counts_the_kernels_that_are_alike(rng):
    kernel = rng.standard_normal((6, 6))
    others = [kernel, -kernel, kernel + 0.01 * rng.standard_normal((6, 6)), rng.standard_normal((6, 6))]
    assert agreement(others, kernel) == 3


def test_what_a_window_cuts_off_is_no_disagreement(rng):
    """A kernel that settled three pixels aside is the same on the part that both windows show."""
    kernel = rng.standard_normal((12, 12))
    aside = -np.pad(kernel, ((0, 3), (0, 0)))[3:]
    assert kernel_similarity(aside, kernel) < 0.9
    assert overlap_similarity(aside, kernel) == pytest.approx(1)
    assert starts_agreeing([aside, kernel, rng.standard_normal((12, 12))], kernel) == 2


def test_starts_agree_where_defects_crowd_and_not_where_nothing_is_found():
    """Whitened starts end stage I .86 to .95 alike; on noise, and in a hopeless crowd, .35 and less."""
    kernel = ldos_kernel(15, -2.0)
    image = random_field(kernel, (72, 72), 3e-2, snr_db=10, seed=3).image
    crowded = recover(image, kernel_size=15, types=1, activations="positive")
    assert kernel_similarity(crowded.kernels[0], kernel) > 0.99
    assert crowded.quality["starts_agreeing"] >= 7
    noise = recover(np.random.default_rng(0).standard_normal((96, 96)), kernel_size=15)
    assert noise.quality["starts_agreeing"] <= 1
