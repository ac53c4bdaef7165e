"""Load… and Save… of a recipe, through file dialogs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.history import get_open_history, get_save_history, update_open_history, update_save_history
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_sbd.export import file_name
from napari_sbd.prepare.recipe import Recipe
from napari_sbd.widgets.image_choice import sentence

if TYPE_CHECKING:
    from napari_sbd.widgets.prepare import PrepareSection

ENDING = ".json"


class RecipeFiles:
    """File dialogs for the recipe of a section.

    Parameters
    ----------
    section : PrepareSection
    """

    def __init__(self, section: PrepareSection) -> None:
        self.section = section
        self.dialog: QFileDialog | None = None

    def ask_what_to_load(self) -> None:
        """Open a file dialog; what is chosen there takes the place of the steps."""
        dialog = self._new_dialog("Load a recipe", get_open_history()[0])
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self._load)
        dialog.open()

    def ask_where_to_save(self) -> None:
        """Open a file dialog; the steps are written to what is chosen there."""
        source = self.section.image.source
        dialog = self._new_dialog("Save the recipe", get_save_history()[0])
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setDefaultSuffix(ENDING[1:])
        dialog.selectFile(f"{file_name(source.name)} recipe{ENDING}" if source else f"recipe{ENDING}")
        dialog.fileSelected.connect(self._save)
        dialog.open()

    def _new_dialog(self, title: str, folder: str) -> QFileDialog:
        dialog = QFileDialog(self.section, title, folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setNameFilter(f"Recipe (*{ENDING})")
        dialog.finished.connect(self._forget_dialog)
        self.dialog = dialog
        return dialog

    def _forget_dialog(self, _: int) -> None:
        self.dialog = None

    def _load(self, path: str) -> None:
        try:
            recipe = Recipe.load(path)
        except (OSError, ValueError) as error:
            self.section.tell(sentence(error))
            return
        update_open_history(path)
        self.section.show_recipe(recipe)
        self.section.tell(f"Loaded {Path(path).name}.")

    def _save(self, path: str) -> None:
        try:
            self.section.recipe.save(path)
        except OSError as error:
            self.section.tell(sentence(error))
            return
        update_save_history(path)
        self.section.tell(f"Saved {Path(path).name}.")
