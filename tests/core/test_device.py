"""Stacks on a device: the same code in groups of slices, and on a card where there is one."""

import pickle

import numpy as np
import pytest
from scipy import fft

from napari_sbd.core import device as devices
from napari_sbd.core.device import HOST, Device, NoCard, device_of, device_or_host
from napari_sbd.core.memory import TooLarge
from napari_sbd.core.objective import Objective
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field

try:
    CARD, WHY = device_of("gpu"), ""
except NoCard as reason:
    CARD, WHY = HOST, str(reason)

needs_card = pytest.mark.skipif(CARD is HOST, reason=WHY)
# What a card does that memory here does not: several slices at once, transforms where atoms would be painted.
GROUPS = Device("cpu", np, fft, together=400_000)


@pytest.fixture(params=[GROUPS, pytest.param(CARD, marks=needs_card)], ids=["groups", "card"])
def there(request):
    return request.param


@pytest.fixture(params=["all", "holes", "own"])
def mask(request):
    shape = 7, 300, 340
    seen = np.ones(shape, bool)
    if request.param != "all":
        seen[:, 40:80, 100:160] = False
    if request.param == "own":
        seen[2:4, 200:230, :50] = False
    return seen


@pytest.fixture
def problem(mask):
    """Data, kernels of two types and maps."""
    rng = np.random.default_rng(0)
    kernels = rng.standard_normal((2, len(mask), 11, 12)).astype(np.float32)
    kernels /= np.linalg.norm(kernels[0])
    maps = np.zeros((2, mask.shape[1] + 10, mask.shape[2] + 11), np.float32)
    maps[rng.random(maps.shape) < 2e-3] = 1.5
    return rng.standard_normal(mask.shape).astype(np.float32), kernels, maps


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)


def test_what_is_left_is_the_same(problem, mask, there):
    data, kernels, maps = problem
    here, other = (Objective(data, mask, (11, 12), device) for device in (HOST, there))
    assert not here.in_one_piece
    close(other.left(kernels, maps), here.left(kernels, maps))
    room = np.ones((7, 302, 342), np.float32)
    other.left(kernels, maps, out=room[:, 1:-1, 1:-1])
    close(room[:, 1:-1, 1:-1], here.left(kernels, maps))
    assert (room[:, 0] == 1).all()


@pytest.mark.parametrize("empty", [False, True])
def test_slopes_are_the_same(problem, mask, there, empty):
    data, kernels, maps = problem
    here, other = (Objective(data, mask, (11, 12), device) for device in (HOST, there))
    for own, its in zip(
        here.slopes(kernels, None if empty else maps, 1),
        other.slopes(kernels, None if empty else maps, 1),
        strict=True,
    ):
        assert own[:2] == its[:2]
        assert isinstance(its[2], np.ndarray)
        close(its[2], own[2])


def test_sums_and_filtered_data_are_the_same(problem, mask, there):
    data, kernels, _ = problem
    here, other = (Objective(data, mask, (11, 12), device) for device in (HOST, there))
    close(other.filtered(kernels), here.filtered(kernels))
    close(other.visible_share(kernels), here.visible_share(kernels))


def test_an_objective_goes_to_another_process(problem, mask, there):
    data, kernels, maps = problem
    objective = Objective(data, mask, (11, 12), there)
    close(pickle.loads(pickle.dumps(objective)).left(kernels, maps), objective.left(kernels, maps))


def test_a_single_image_stays_on_the_processor():
    assert device_of("gpu", slices=1) is HOST


def test_a_stack_that_does_not_fit_on_the_card_is_refused(monkeypatch):
    small = Device("gpu", np, fft, apart=True)
    monkeypatch.setattr(Device, "free", lambda self: 10**9)
    monkeypatch.setattr(devices, "_card", lambda: small)
    with pytest.raises(TooLarge, match=r"in 200 slices need about .* GB of a graphics card's.*device='cpu'"):
        recover(np.broadcast_to(np.float32(0), (200, 512, 512)), kernel_size=9, device="gpu")


def test_without_cupy_the_remedy_is_named_before_work_begins(without_cupy):
    with pytest.raises(NoCard, match=r"pip install 'napari-sbd\[gpu\]'.*device='cpu'"):
        recover(np.zeros((40, 40)), kernel_size=5, device="gpu")
    # What was recovered on another computer's card can be worked with.
    assert device_or_host("gpu") is HOST


def stack(size, slices, density=1e-3, seed=0):
    kernels = [ldos_kernel(21, float(energy)) for energy in np.linspace(-2.5, -1.6, slices)]
    rng = np.random.default_rng(seed)
    images = [random_field(k, (size, size), density, snr_db=None, seed=seed).clean for k in kernels]
    return np.stack([image + rng.normal(0, 0.1 * image.std(), image.shape) for image in images])


@needs_card
@pytest.mark.parametrize("case", ["stack", "holes", "own holes", "signs", "types"])
def test_a_recovery_on_a_card_is_the_same(case):
    image, options = stack(256, 12), {}
    if case == "holes":
        options["mask"] = np.ones(image.shape[1:], bool)
        options["mask"][50:90, 60:120] = False
    elif case == "own holes":
        options["mask"] = np.ones(image.shape, bool)
        options["mask"][2:5, 50:90, 60:120] = False
    elif case == "signs":
        image = image - stack(256, 12, seed=1)
    elif case == "types":
        image, options = image + stack(256, 12, seed=1)[::-1], {"types": 2}
    host, card = (recover(image, kernel_size=21, device=name, **options) for name in ("cpu", "gpu"))
    for own, its in zip(host.kernels, card.kernels, strict=True):
        assert kernel_similarity(its, own) > 0.9999
    assert len(card.defects) == len(host.defects)
    rows = (np.sort(recovery.defects["row"].to_numpy()) for recovery in (card, host))
    np.testing.assert_allclose(*rows, atol=0.02)
    ends = [recovery.history["objective"].iloc[-1] for recovery in (host, card)]
    assert ends[1] == pytest.approx(ends[0], rel=1e-4)
