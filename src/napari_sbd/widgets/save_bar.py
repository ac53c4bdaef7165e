"""Save… and Export…: a recovery as one file, or as table, images and figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.utils.history import get_save_history, update_save_history
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_sbd.api import Recovery
from napari_sbd.export import exported_names, file_name
from napari_sbd.io.recovery_file import ENDING, save, with_ending
from napari_sbd.layers import layer_data_of, looks_of, recovery_of
from napari_sbd.widgets.fields import hint_label
from napari_sbd.widgets.latest import Latest
from napari_sbd.widgets.run import Failure

SAVE_HELP = (
    "Save everything in one file: image, mask, settings, kernels, activation maps, defects and how the "
    "layers look. Open it by <i>File ▸ Open</i> or by dropping it onto napari."
)
EXPORT_HELP = "Save the table of defects, the kernels and maps, or figures for other programs"
# What the menu offers: its text, and the formats that are written.
CHOICES = (
    ("Defect table (CSV)…", ("csv",)),
    ("Kernels and maps (TIFF)…", ("tiff",)),
    ("Figures (PNG)…", ("png",)),
    ("Figures (SVG)…", ("svg",)),
    ("All of it…", ("csv", "tiff", "png", "svg")),
)


class SaveBar(QWidget):
    """Two buttons for the recovery of the layer that is selected, or else for the last one of the widget.

    Hidden while there is none.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.last: Recovery | None = None
        self.dialog: QFileDialog | None = None
        self.save_button, self.export_button = QPushButton("Save…"), QPushButton("Export…")
        self.save_button.setToolTip(f"<p>{SAVE_HELP}</p>")
        self.export_button.setToolTip(f"<p>{EXPORT_HELP}</p>")
        self.save_button.clicked.connect(self.ask_where_to_save)
        self.menu = QMenu(self)
        for text, formats in CHOICES:
            action = self.menu.addAction(text)
            assert action is not None
            action.triggered.connect(lambda _=False, chosen=formats: self.ask_where_to_export(chosen))
        self.export_button.setMenu(self.menu)
        self.jobs = Latest(self)
        self.jobs.done.connect(self._show_written)
        self.told = hint_label()
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.save_button)
        row.addWidget(self.export_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.told)
        viewer.layers.selection.events.active.connect(self._refresh)
        self._refresh()

    @property
    def recovery(self) -> Recovery | None:
        """What is saved."""
        active = self.viewer.layers.selection.active
        chosen = recovery_of(active.metadata) if active is not None else None
        return chosen if isinstance(chosen, Recovery) else self.last

    def show_result(self, recovery: Recovery | None) -> None:
        """Offer to save the result of a run."""
        self.last = recovery
        self._refresh()

    def ask_where_to_save(self) -> None:
        """Open a file dialog; what is chosen there is saved."""
        recovery = self.recovery
        if recovery is None:
            return
        dialog = self._new_dialog("Save the recovery", f"{file_name(recovery.source.name)}{ENDING}")
        dialog.setNameFilter(f"Recovery (*{ENDING})")
        dialog.setDefaultSuffix(ENDING[1:])
        dialog.fileSelected.connect(lambda path: self._save(recovery, path))
        dialog.open()

    def ask_where_to_export(self, formats: tuple[str, ...]) -> None:
        """Open a file dialog for one table, or a folder's for several files."""
        recovery = self.recovery
        if recovery is None:
            return
        try:
            names = exported_names(recovery, formats)
        except ImportError as error:
            self._tell(f"{error}.")
            return
        if formats == ("csv",):
            dialog = self._new_dialog("Save the table of defects", names[0])
            dialog.setNameFilter("Table (*.csv)")
            dialog.setDefaultSuffix("csv")
            dialog.fileSelected.connect(lambda path: self._write(lambda: [recovery.to_csv(path)]))
        else:
            dialog = self._new_dialog("Choose a folder for the files", "")
            dialog.setFileMode(QFileDialog.FileMode.Directory)
            dialog.setOption(QFileDialog.Option.ShowDirsOnly)
            dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptOpen)
            dialog.fileSelected.connect(lambda folder: self._export(recovery, folder, formats))
        dialog.open()

    def _new_dialog(self, title: str, name: str) -> QFileDialog:
        folder = get_save_history()[0]
        dialog = QFileDialog(self, title, folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        if name:
            dialog.selectFile(name)
        self.dialog = dialog
        dialog.finished.connect(self._forget_dialog)
        return dialog

    def _forget_dialog(self, _: int) -> None:
        self.dialog = None

    def _save(self, recovery: Recovery, path: str) -> None:
        if str(with_ending(path)) != path and with_ending(path).exists():
            # The dialog asked about the name that was typed, not about the one with its ending.
            self._tell(f"{with_ending(path).name} exists already: choose it in the list to replace it.")
            return
        layers = layer_data_of(self.viewer.layers)
        self._write(lambda: [save(recovery, path, looks_of(recovery, layers)[0])])

    def _export(self, recovery: Recovery, folder: str, formats: tuple[str, ...]) -> None:
        there = [name for name in exported_names(recovery, formats) if (Path(folder) / name).exists()]
        if there and not self._may_replace(there, folder):
            return
        self._write(lambda: recovery.export(folder, formats, overwrite=True))

    def _may_replace(self, names: list[str], folder: str) -> bool:
        listed = "".join(f"<li>{name}</li>" for name in names)
        answer = QMessageBox.question(
            self,
            "Replace files?",
            f"<p>In {folder} there are already</p><ul>{listed}</ul><p>Replace them?</p>",
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _write(self, job: Callable[[], list[Path]]) -> None:
        """Write in the background, one after the other."""
        self.jobs.ask(job)
        self._refresh()
        self._tell("Saving…")

    def _show_written(self, outcome: list[Path] | Failure) -> None:
        self._refresh()
        if isinstance(outcome, Failure):
            self._tell(f"{outcome.error}.")
            return
        update_save_history(str(outcome[0]))
        names = outcome[0].name if len(outcome) == 1 else f"{len(outcome)} files"
        self._tell(f"Saved {names} in {outcome[0].parent}")

    def _tell(self, text: str) -> None:
        # A long path is broken after its separators.
        self.told.setText(text.replace("/", "/\u200b").replace("\\", "\\\u200b"))
        self.told.setVisible(bool(text))

    def _refresh(self, event: Any = None) -> None:
        recovery = self.recovery
        self.setVisible(recovery is not None)
        for button in (self.save_button, self.export_button):
            button.setEnabled(not self.jobs.is_wanted)
        self._tell("")
        if recovery is not None:
            self.save_button.setToolTip(f"<p>{SAVE_HELP}</p><p>Now: {recovery.source.name}</p>")
