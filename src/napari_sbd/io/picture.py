"""Pictures, which napari opens itself and a command line has to read: TIFF with its pixel size, PNG, JPEG.

Not among the formats of `napari_sbd.read`: dropped onto napari they stay napari's.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sbd.io.channel import Channel, pixel_size
from napari_sbd.io.errors import ReadError
from napari_sbd.io.units import nanometres

TIFF = (".tif", ".tiff")
SUFFIXES = (*TIFF, ".png", ".jpg", ".jpeg", ".bmp")
MOST_BYTES = 8 * 2**30


def read_picture(path: Path) -> tuple[Channel, ...]:
    """The image, or the stack of images, of a picture file.

    Parameters
    ----------
    path : Path
        TIFF (ImageJ's pixel size is understood), PNG, JPEG or BMP.

    Raises
    ------
    ReadError
        If it is missing, damaged, or no image.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from napari_sbd.io.tiff import save_tiff
    >>> [channel] = read_picture(save_tiff(np.eye(8), Path(mkdtemp()) / "topo.tif", (0.1, 0.2), "nm"))
    >>> channel.data.shape, channel.pixel_size_nm
    ((8, 8), (0.1, 0.2))
    """
    if not path.is_file():
        raise ReadError(path, "is missing", "check its name and folder")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            data, size = _tiff(path) if path.suffix.lower() in TIFF else (_other(path), None)
    except ReadError:
        raise
    except MemoryError as error:
        raise ReadError(path, "does not fit into memory", "export a part of it") from error
    except Exception as error:  # a damaged file raises anything there
        cause = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise ReadError(path, f"is damaged or of another kind ({cause})") from error
    if data.ndim not in (2, 3) or not data.size or data.dtype.kind not in "fiub":
        raise ReadError(
            path,
            f"holds {data.dtype} of shape {data.shape}",
            "save an image, or a stack of images, of numbers",
        )
    native = np.ascontiguousarray(data, data.dtype.newbyteorder("="))
    return (Channel(path.stem, native, pixel_size_nm=size),)


def _tiff(path: Path) -> tuple[NDArray[Any], tuple[float, float] | None]:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        if series.nbytes > MOST_BYTES:
            raise ReadError(
                path, f"says that it holds {series.nbytes / 2**30:.0f} GiB", "export a part of it"
            )
        return series.asarray(), _pixel_size(file)


def _pixel_size(file: tifffile.TiffFile) -> tuple[float, float] | None:
    """Pixel size that ImageJ's header tells, in nm."""
    factor = nanometres(str((file.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ"))
    tags = file.pages.first.tags
    found = [tags.get(name) for name in ("YResolution", "XResolution")]
    if factor is None or None in found:
        return None
    # Pixels per unit, as a fraction.
    rows, cols = (
        factor * tag.value[1] / tag.value[0] if tag.value[0] else 0.0 for tag in found if tag is not None
    )
    return pixel_size(rows, cols)


def _other(path: Path) -> NDArray[Any]:
    from skimage.io import imread

    return np.asarray(imread(path))
