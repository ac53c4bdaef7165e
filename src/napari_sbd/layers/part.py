"""Where a part of a recovery lies among the layers of the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_sbd.core.part import Box, part_of
from napari_sbd.layers.frame import Frame
from napari_sbd.layers.result import LayerData, live_layers, result_layers
from napari_sbd.layers.source import Source

WHOLE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
PART = ", part"  # added to the image's name


def part_source(source: Source, box: Box) -> Source:
    """Source of the part of an image that lies in a box.

    Examples
    --------
    >>> part_source(Source("topo", scale=(0.5, 0.5)), (slice(10, 20), slice(4, 14))).translate
    (5.0, 2.0)
    """
    begin = source.placed((float(box[0].start), float(box[1].start)))["translate"]
    return replace(source, name=f"{source.name}{PART}", translate=begin)


def part_recovery(recovery: Any, box: Box) -> Any:
    """The part of a recovery, whose table says where its defects lie in the whole image, too."""
    part = part_of(recovery, box)
    frame = recovery.frame or Frame(WHOLE, recovery.observation.pixel_size)
    begin = np.eye(3)
    begin[:2, 2] = box[0].start, box[1].start
    matrix = tuple(tuple(row) for row in (np.array(frame.matrix) @ begin).tolist())
    placed = replace(part, frame=replace(frame, matrix=matrix))
    vars(placed)["_past"] = part._past
    return placed


def part_layers(part: Any, source: Source) -> list[LayerData]:
    """Activation maps and defects of a part, to lie over the image; its kernels are those of the whole.

    Parameters
    ----------
    part : Recovery
    source : Source
        Of the part.
    """
    maps = live_layers(part.shapes, part.activations, source)[part.types :]
    return [*maps, result_layers(part, source)[-1]]
