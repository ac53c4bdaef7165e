"""Figures of a recovery for papers and notes, drawn by Matplotlib (extra ``figures``). Knows no viewer."""

from napari_sbd.figures.export import FIGURES, need_matplotlib, save_figure

__all__ = ["FIGURES", "need_matplotlib", "save_figure"]
