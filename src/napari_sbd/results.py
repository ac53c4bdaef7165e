"""A Recovery as users meet it: what can be done with it, and how one that was saved is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from napari_sbd.core.recovery import Recovery as CoreRecovery
from napari_sbd.layers import Frame, Source, add_layer, free_slot, layer_data_of, looks_of, result_layers


@dataclass(frozen=True, eq=False)
class Recovery(CoreRecovery):
    """A recovery that knows the layer it came from; see `napari_sbd.core.recovery.Recovery` for the rest.

    Parameters
    ----------
    source : Source
        Name, place and look of the image.
    recipe : str, optional
        JSON text of the recipe that prepared the image.
    frame : Frame, optional
        Where the pixels of the observation lie in the image as it was given, where the recipe has moved them.

    Examples
    --------
    The examples of its methods go on with this one:

    >>> import numpy as np
    >>> from napari_sbd import recover
    >>> image = np.zeros((40, 40))
    >>> image[10:13, 20:23] = image[30:33, 8:11] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    >>> image += np.random.default_rng(0).normal(0, 0.05, image.shape)
    >>> recovery = recover(image, kernel_size=5, pixel_size=0.2, unit="nm", name="topo")
    >>> recovery.source.name, recovery.source.pixel_size
    ('topo', (0.2, 0.2))
    """

    source: Source = field(default_factory=Source)
    recipe: str | None = None
    frame: Frame | None = None

    @cached_property
    def defects(self) -> pd.DataFrame:
        """Table of the defects inside the frame, see `napari_sbd.core.defects.candidate_table`.

        Where a recipe has cropped, resampled or sheared the image, `row` and `col` are positions in
        `observation`, `image_row` and `image_col` in the image as it was given, from whose first pixel the
        lengths count, too.
        """
        table = super().defects
        return table if self.frame is None else self.frame.placed(table, self.observation.unit)

    def add_to(self, viewer: Any) -> list[Any]:
        """Add kernel, activation map, defects, reconstruction and residual to a napari viewer.

        Nothing that is there is overwritten: names that exist already get a number, and kernels lie below
        those of earlier runs.

        Parameters
        ----------
        viewer : napari.Viewer or napari.components.ViewerModel

        Returns
        -------
        list of napari layers
            Reconstruction, residual, kernels, activation maps and defects; the first two are hidden.

        Examples
        --------
        >>> from napari.components import ViewerModel
        >>> [layer.name for layer in recovery.add_to(ViewerModel())][2:]
        ['topo · kernel', 'topo · activation', 'topo · defects']
        """
        slot = free_slot(self.source, self.shapes, self.observation.shape, viewer.layers)
        added = [add_layer(viewer, layer) for layer in result_layers(self, self.source, slot)]
        viewer.fit_to_view()
        return added

    def save(self, path: str | os.PathLike[str], *, layers: Iterable[Any] = ()) -> Path:
        """Save everything in one HDF5 file; `load` opens it, and so does napari.

        An earlier file of this name is replaced at once when the new one is complete, and damaged in no case.

        Parameters
        ----------
        path : str or path-like
            The ending ``.sbd.h5`` is added where it is missing.
        layers : iterable of napari layers, optional
            Such as ``viewer.layers``: how those of this recovery look is saved with it. Others are left out.

        Returns
        -------
        Path

        Examples
        --------
        >>> path = recovery.save("topo")
        >>> path.name, bool((load(path).kernels == recovery.kernels).all())
        ('topo.sbd.h5', True)
        """
        from napari_sbd.io.recovery_file import save

        looks, _ = looks_of(self, layer_data_of(layers))
        return save(self, path, looks)

    def export(
        self,
        folder: str | os.PathLike[str],
        formats: Sequence[str] = ("csv", "tiff", "png"),
        *,
        name: str | None = None,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write the table, the images and the figures into a folder, one file each.

        Parameters
        ----------
        folder : str or path-like
            Made if it does not exist.
        formats : sequence of {'csv', 'tiff', 'png', 'svg', 'pdf'}
            The table of defects; kernels and activation maps; the figures, which need the extra ``figures``.
        name : str, optional
            What the files' names begin with; the image's own by default.
        overwrite : bool
            Whether files of these names may be replaced.

        Returns
        -------
        list of Path

        Raises
        ------
        FileExistsError
            If a file is there already and `overwrite` is false; nothing is written then.

        Examples
        --------
        >>> [path.name for path in recovery.export("results", ["csv", "tiff"])]
        ['topo_defects.csv', 'topo_kernel.tif', 'topo_activation.tif']
        """
        from napari_sbd.export import export

        return export(self, folder, formats, name, overwrite)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Save the table of defects as CSV, with units in its header.

        Parameters
        ----------
        path : str or path-like
            The ending ``.csv`` is added where there is none.

        Returns
        -------
        Path

        Examples
        --------
        >>> recovery.to_csv("defects").read_text()[:37]
        'type,row (px),col (px),y (nm),x (nm),'
        """
        from napari_sbd.io.table import save_csv

        return save_csv(self.defects, path, self.observation.unit)

    def to_tiff(self, path: str | os.PathLike[str], what: str = "kernels") -> Path:
        """Save images as TIFF of 32-bit floats with the pixel size, as ImageJ reads it.

        Parameters
        ----------
        path : str or path-like
            The ending ``.tif`` is added where there is none.
        what : {'kernels', 'activations', 'reconstruction', 'residual'}
            Types become channels, slices become slices of a hyperstack.

        Returns
        -------
        Path

        Examples
        --------
        >>> recovery.to_tiff("residual", "residual").name
        'residual.tif'
        """
        from napari_sbd.export import save_image

        return save_image(self, path, what)

    def to_figure(self, path: str | os.PathLike[str], what: str = "overview") -> Path:
        """Save a figure as PNG, SVG or PDF; needs the extra ``figures``.

        Parameters
        ----------
        path : str or path-like
            Its ending says which; ``.png`` is added where there is none.
        what : {'overview', 'kernel', 'map', 'qpi'}
            All of it; the kernels; the image with a ring round each defect; the kernels' Fourier transforms.

        Returns
        -------
        Path

        Raises
        ------
        ImportError
            If Matplotlib is not installed; the message names the extra.

        Examples
        --------
        >>> recovery.to_figure("kernel.svg", "kernel").name
        'kernel.svg'
        """
        from napari_sbd.figures import save_figure

        return save_figure(self, path, what)


def load(path: str | os.PathLike[str]) -> Recovery:
    """Open what `Recovery.save` saved: every array, table and setting is what it was.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Recovery

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no saved recovery, is of another version or damaged; the message says which.

    Examples
    --------
    >>> load(recovery.save("topo.sbd.h5")).summary == recovery.summary
    True
    """
    from napari_sbd.io.recovery_file import load as load_file

    return load_file(path, Recovery)
