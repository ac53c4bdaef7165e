"""Marks: what a Labels or Shapes layer marks of an image, and the boxes that it draws on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask
from skimage.transform import resize

from napari_sbd.layers.source import Source, source_of

Real = NDArray[np.floating]

POINTS_OF_ELLIPSE = 180
SAME_PIXELS = 0.01  # of their size, up to which pixels are taken as equal


def is_layer(thing: Any) -> bool:
    """Whether this is a napari layer, of any type."""
    return all(hasattr(thing, name) for name in ("data", "scale", "translate", "units"))


def is_image(layer: Any) -> bool:
    """Whether this is an Image or a Labels layer."""
    return hasattr(layer, "depiction")


def is_shapes(layer: Any) -> bool:
    """Whether this is a Shapes layer."""
    return hasattr(layer, "shape_type")


def marked(layer: Any, source: Source, shape: tuple[int, int], at: Sequence[int] = ()) -> NDArray[np.bool_]:
    """Pixels of an image that a layer marks: where its labels are not zero, or inside its shapes.

    A Labels layer of the image's own shape is taken pixel by pixel; any other layer, as the viewer shows it.

    Parameters
    ----------
    layer : napari.layers.Labels, Shapes or Image
    source : Source
        Where the image lies.
    shape : tuple of int
        Its rows and columns.
    at : sequence of int
        Index of the image in its layer, for a layer with as many axes.

    Raises
    ------
    ValueError
        If the layer is of another type, or holds a shape that encloses nothing.
    """
    if is_shapes(layer):
        inside = np.zeros(shape, bool)
        for kind, corners in _shapes(layer, source, at):
            if kind in ("line", "path"):
                raise ValueError(
                    f"{layer.name} holds a {kind}, which has no inside: draw a rectangle, ellipse or polygon"
                )
            outline = _ellipse(corners) if kind == "ellipse" else corners
            inside |= polygon2mask(shape, outline)  # type: ignore[no-untyped-call]
        return inside
    if not is_image(layer):
        raise ValueError(f"{layer.name} marks no area: choose a Labels or a Shapes layer")
    data = layer.data[0] if layer.multiscale else layer.data
    if at and data.ndim == 2 + len(at):
        data = data[tuple(at)]
    labels: NDArray[np.bool_] = np.asarray(data) != 0
    if labels.ndim != 2 or labels.shape == shape:
        return labels
    grid = np.indices(shape).reshape(2, -1)
    onto = source_of(layer).pixels_of(source)
    rows, cols = np.rint(onto[:2, :2] @ grid + onto[:2, 2:]).astype(int)
    known = (rows >= 0) & (rows < labels.shape[0]) & (cols >= 0) & (cols < labels.shape[1])
    found = np.zeros(shape, bool)
    found.ravel()[known] = labels[rows[known], cols[known]]
    return found


def boxes_of(layer: Any, source: Source, at: Sequence[int] = ()) -> Real:
    """Boxes (n, 2, 2) round the shapes of a layer: corners ((row, col), (row, col)) in an image's pixels.

    Raises
    ------
    ValueError
        If the layer is no Shapes layer, or holds no shape.
    """
    if not is_shapes(layer):
        raise ValueError(f"{layer.name} holds no boxes: choose a Shapes layer")
    corners = [corners for _, corners in _shapes(layer, source, at)]
    if not corners:
        raise ValueError(f"{layer.name} holds no shape: draw a rectangle round a whole defect")
    return np.array([(c.min(0), c.max(0)) for c in corners])


def start_of(layer: Any, source: Source, at: Sequence[int] = ()) -> Real:
    """What a layer gives to begin with: boxes of a Shapes layer, or the kernel that an Image layer holds.

    A kernel of another pixel size is resized to that of the image; of a stack as long as the image's own,
    the slice that the image is.

    Raises
    ------
    ValueError
        If the layer holds neither, or the kernel is no smaller than a pixel or two.
    """
    if is_shapes(layer):
        return boxes_of(layer, source, at)
    if not is_image(layer):
        raise ValueError(f"{layer.name} holds no boxes: choose a Shapes layer, or that of a kernel")
    kernel = np.asarray(layer.data, float)
    if kernel.ndim == 3 and len(at) == 1:
        kernel = kernel[min(at[0], len(kernel) - 1)]
    if kernel.ndim not in (2, 3):
        raise ValueError(
            f"{layer.name} has {kernel.ndim} axes: choose a kernel (rows, cols) or a stack of them"
        )
    own = source_of(layer)
    if own.unit == source.unit:
        ratio = np.array(own.pixel_size) / source.pixel_size
        if np.abs(ratio - 1).max() > SAME_PIXELS:
            shape = np.maximum(np.rint(kernel.shape[-2:] * ratio), 1).astype(int)
            sizes = (*kernel.shape[:-2], *shape)
            kernel = np.asarray(resize(kernel, sizes, order=3, anti_aliasing=True))  # type: ignore[no-untyped-call]
    return kernel


def _shapes(layer: Any, source: Source, at: Sequence[int]) -> list[tuple[str, Real]]:
    """Kinds and corners (n, 2) of a layer's shapes, in an image's pixels; of a stack, those on this slice."""
    onto = source.pixels_of(source_of(layer))
    found: list[tuple[str, Real]] = []
    for kind, corners in zip(layer.shape_type, layer.data, strict=True):
        points = np.asarray(corners, float)
        leading = np.rint(points[:, :-2])
        if at and leading.shape[1] == len(at) and np.any(leading != at):
            continue
        found.append((str(kind), points[:, -2:] @ onto[:2, :2].T + onto[:2, 2]))
    return found


def _ellipse(corners: Real) -> Real:
    """Points on the ellipse that touches the sides of a box, given by its four corners."""
    angles = np.linspace(0, 2 * np.pi, POINTS_OF_ELLIPSE, endpoint=False)[:, None]
    across, along = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    return np.asarray(corners.mean(0) + np.cos(angles) * across + np.sin(angles) * along)
