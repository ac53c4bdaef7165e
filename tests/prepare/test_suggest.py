"""What is proposed: what the image needs, and nothing else."""

import numpy as np
import pytest

from napari_sbd.core.observation import observe
from napari_sbd.core.recover import recover
from napari_sbd.prepare.suggest import suggest_recipe
from napari_sbd.simulate import (
    dense,
    haadf,
    isolated,
    ldos_kernel,
    line_offsets,
    one_over_f,
    plane,
    random_field,
)

SHAPE = (128, 140)


def names(image):
    return [step.operation for step in suggest_recipe(image).steps]


@pytest.mark.parametrize("make", [isolated, dense])
def test_a_clean_field_needs_nothing(make):
    assert names(make().image) == []


@pytest.mark.parametrize("seed", range(4))
def test_random_fields_need_nothing(seed):
    assert names(random_field(ldos_kernel(15), (96, 96), 1e-3 * (1 + seed), seed=seed).image) == []


def test_noise_needs_nothing(rng):
    assert names(rng.standard_normal(SHAPE)) == []


def test_each_fault_is_found(rng, defects, hexagonal):
    bumps = 6 * defects(SHAPE, [(30, 40), (90, 100), (64, 20)], 3)
    clean = bumps + 0.3 * rng.standard_normal(SHAPE)
    assert names(plane(clean, rng, 5.0)) == ["background"]
    assert names(line_offsets(clean, rng, 1.0)) == ["lines"]
    assert names(clean + 2 * hexagonal(SHAPE)) == ["lattice"]
    assert "hum" in names(one_over_f(clean, rng, 1.0))
    scarred = clean.copy()
    scarred[50, 20:90] += 6
    assert names(scarred) == ["scars"]
    spiked = clean.copy()
    spiked[77, 50] += 30
    assert names(spiked) == ["spikes"]
    stepped = clean + 8.0 * (np.arange(SHAPE[1]) > 70)
    assert "terraces" in names(stepped)


def test_a_scar_between_jumping_lines_is_found(rng, defects):
    clean = 6 * defects(SHAPE, [(30, 40), (90, 100), (64, 20)], 3) + 0.3 * rng.standard_normal(SHAPE)
    hurt = line_offsets(clean, rng, 4.0)
    hurt[50, 20:90] += 12
    found = names(hurt)
    assert "lines" in found
    assert "scars" in found


def test_restless_borders_are_masked_where_a_lattice_was(rng, hexagonal):
    noise = rng.standard_normal(SHAPE)
    assert "borders" not in names(2 * hexagonal(SHAPE) + noise)
    noise[:, :7] *= 4
    done = suggest_recipe(2 * hexagonal(SHAPE) + noise)
    assert [step.operation for step in done.steps] == ["lattice", "borders"]
    mask = done.apply(2 * hexagonal(SHAPE) + noise).mask
    assert not mask[..., :6].any()
    assert mask[..., 9:].all()


def test_columns_are_told_from_rows(rng, defects):
    clean = 6 * defects(SHAPE, [(30, 40), (90, 100)], 3) + 0.3 * rng.standard_normal(SHAPE)
    steps = suggest_recipe(clean + rng.standard_normal(SHAPE[1])).steps
    assert [(step.operation, step.settings.get("along")) for step in steps] == [("lines", "columns")]


def test_a_perfect_lattice_leaves_almost_nothing(hexagonal):
    image = hexagonal(SHAPE)
    assert suggest_recipe(image).apply(image).data.std() < 1e-4 * image.std()


def test_a_stack_and_a_mask_are_welcome(rng, hexagonal):
    stack = np.stack([hexagonal(SHAPE), 0.5 * hexagonal(SHAPE)]) + 0.1 * rng.standard_normal((2, *SHAPE))
    mask = np.ones(SHAPE, bool)
    mask[:20] = False
    seen = observe(stack, mask=mask)
    done = suggest_recipe(seen).apply(seen)
    assert done.data[done.mask].std() < 0.12


@pytest.mark.parametrize("shape", [(8, 8), (3, 5), (15, 40)])
def test_tiny_images_get_a_recipe_that_can_be_taken(shape, rng):
    image = rng.standard_normal(shape) + np.arange(shape[0])[:, None]
    assert np.isfinite(suggest_recipe(image).apply(image).data).all()


def test_from_a_lattice_with_dopants_to_the_dopants():
    sample = haadf(1, dopants=10, vacancies=0, shape=(160, 160))
    cleaned = suggest_recipe(sample.image).apply(sample.image)
    found = recover(cleaned, kernel_size=11).defects[["row", "col"]].to_numpy()
    apart = np.linalg.norm(found[:, None] - sample.positions[None], axis=-1)
    assert (apart.min(0) < 2).all()
    assert len(found) <= len(sample.positions) + 1


def test_hum_of_a_real_topograph_goes_and_its_defects_stay(real):
    image = real("molecular/molecular_30nm.npy")
    cleaned = suggest_recipe(image).apply(image).data[0]
    quiet = np.s_[300:400, 350:500]
    lines = image - np.median(image, axis=1, keepdims=True)
    assert cleaned[quiet].std() < 0.25 * (lines[quiet] - lines[quiet].mean(0)).std()
    for row, col in [(145, 203), (197, 279), (232, 15), (425, 257)]:
        near = cleaned[row - 12 : row + 13, max(0, col - 12) : col + 13]
        assert np.ptp(near) > 15 * cleaned[quiet].std()
