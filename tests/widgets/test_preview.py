import numpy as np
import pytest

from napari_sbd.core.spectrum import spectrum
from napari_sbd.layers import Source
from napari_sbd.widgets.preview import SIDE, KernelPreview

NM = Source(scale=(0.2, 0.2), units=("nanometer", "nanometer"), unit="nm")


@pytest.fixture
def preview(qtbot):
    preview = KernelPreview()
    qtbot.addWidget(preview)
    return preview


def colour_at(label, row, col):
    """Colour at a place, as shares of the picture's height and width."""
    image = label.pixmap().toImage()
    return image.pixelColor(int(col * image.width()), int(row * image.height()))


def test_is_hidden_while_there_is_nothing(preview):
    assert preview.isHidden()
    preview.show_kernels(np.ones((1, 1, 5, 5)), NM)
    assert not preview.isHidden()
    preview.clear()
    assert preview.isHidden()


def test_colours_are_those_of_the_kernel_layer(preview):
    kernel = np.zeros((1, 1, 20, 20))
    kernel[0, 0, :, :7], kernel[0, 0, :, 13:] = -1, 0.9
    preview.show_kernels(kernel, NM)
    picture = preview.rows[0].kernel
    left, middle, right = (colour_at(picture, 0.5, share) for share in (0.1, 0.5, 0.9))
    assert left.blue() > 2 * left.red()
    assert right.red() > 2 * right.blue()
    assert min(middle.red(), middle.green(), middle.blue()) > 230
    assert (picture.pixmap().width(), picture.pixmap().height()) == (SIDE, SIDE)


def test_captions(preview):
    preview.show_kernels(np.ones((1, 1, 40, 30)), NM)
    [row] = preview.rows
    assert row.caption.text() == "Kernel<br>40 × 30 px<br>8 × 6 nm"
    assert row.qpi_caption.text().startswith("QPI<br>|q| ≤ ")
    assert row.qpi_caption.text().endswith(" nm⁻¹")
    assert row.kernel.pixmap().height() > row.kernel.pixmap().width()
    preview.show_kernels(np.ones((1, 5, 9, 9)), Source())
    assert row.caption.text() == "Kernel<br>9 × 9 px<br>slice 2 of 0 to 4"
    assert row.qpi_caption.text().endswith(" rad/px")
    assert all(label.toolTip() for label in (row.kernel, row.qpi, row.caption, row.qpi_caption))


def test_one_row_for_each_type(preview):
    preview.show_kernels(np.ones((3, 1, 9, 9)), NM)
    assert [row.beside.isHidden() for row in preview.rows] == [False] * 3
    assert "Kernel 3" in preview.rows[2].beside.text()
    preview.show_kernels(np.ones((1, 1, 9, 9)), NM)
    assert [row.kernel.isHidden() for row in preview.rows] == [False, True, True]
    assert preview.rows[0].beside.isHidden()


@pytest.mark.parametrize("kernel", [np.zeros((5, 5)), np.eye(3), np.ones((40, 7))])
def test_spectrum_has_q_0_in_the_middle(kernel):
    magnitude, reach = spectrum(kernel)
    rows, cols = magnitude.shape
    assert rows == cols
    assert rows % 2 == 1
    assert magnitude[rows // 2, cols // 2] == pytest.approx(abs(kernel.sum()))
    np.testing.assert_allclose(magnitude, np.flip(magnitude), atol=1e-9)
    assert 0 < reach <= 1


def test_spectrum_shows_the_wavelength():
    cols = np.arange(64)
    wave = np.outer(np.hanning(64), np.cos(2 * np.pi * cols / 8) * np.hanning(64))
    magnitude, reach = spectrum(wave)
    peak = np.argmax(magnitude[len(magnitude) // 2])
    away = abs(peak - len(magnitude) // 2) / (len(magnitude) // 2) * reach
    assert away == pytest.approx(2 / 8, abs=0.02)
