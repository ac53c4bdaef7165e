"""The section *Prepare*: a recipe that the image goes through first, with a live preview of what it does."""

from __future__ import annotations

from typing import Any

from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_sbd.layers import PREPARED, LayerData, add_layer, prepared_layer, role_of
from napari_sbd.prepare.look import Look, look
from napari_sbd.prepare.recipe import Recipe, operations
from napari_sbd.prepare.suggest import suggest_recipe
from napari_sbd.widgets.fields import hint_label
from napari_sbd.widgets.image_choice import ImageChoice, sentence
from napari_sbd.widgets.latest import Latest
from napari_sbd.widgets.prepare_preview import PreparePreview
from napari_sbd.widgets.recipe_files import RecipeFiles
from napari_sbd.widgets.recipe_form import RecipeForm, named
from napari_sbd.widgets.run import Failure

PAUSE = 200  # ms without a change, after which the preview is made anew
USERS_OWN = ("crop", "resample")  # steps that are never suggested: at the beginning, they stay
SUGGEST, SUGGESTING = "Suggest", "Stop looking"
HEADING_HELP = "Steps that the image goes through before the recovery: background, lines, hum, lattice…"
SUGGEST_HELP = "Look for faults in the image, and propose the steps that take them out"
APPLY_HELP = (
    "Add the prepared image as a new layer, to look at it as a whole. Not needed before <i>Recover</i>, "
    "which takes the steps by itself."
)
EMPTY = (
    "No steps: the image is recovered as it is. <i>Suggest</i> looks for tilt, jumps between lines, hum, "
    "scars and a lattice, and proposes what takes them out."
)
CLEAN = "Nothing to take out: the image shows no tilt, hum, scars or lattice."
TWICE = "This image is prepared already: all steps are switched off."


class PrepareSection(QWidget):
    """Steps with their preview, below a heading that opens and closes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : ImageChoice
    """

    changed = Signal()
    suggested = Signal(object)
    previewed = Signal(object)
    applied = Signal(object)

    def __init__(self, viewer: Any, image: ImageChoice) -> None:
        super().__init__()
        self.viewer, self.image = viewer, image
        self._layer = image.layer
        self._used: tuple[Any, ...] = ()  # what the suggestion under way is made from
        self.form, self.preview = RecipeForm(), PreparePreview()
        self.looks, self.suggestions, self.applications = Latest(self), Latest(self), Latest(self)
        self.files = RecipeFiles(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._look)
        self._add_buttons()
        self._lay_out()
        self.form.changed.connect(self._follow_recipe)
        self.image.changed.connect(self._follow_image)
        self.looks.done.connect(self._show_look)
        self.suggestions.done.connect(self._show_suggestion)
        self.applications.done.connect(self._add_prepared)
        self.heading.toggled.connect(self._show_body)
        self._show_body(False)

    @property
    def recipe(self) -> Recipe:
        """What the form says."""
        return self.form.recipe

    def show_recipe(self, recipe: Recipe) -> None:
        """Show the steps of a recipe instead of those that are there."""
        self.suggestions.forget()
        self.form.show_recipe(recipe)

    def suggest(self) -> None:
        """Look for faults in the image in the background, or stop looking."""
        if self.suggestions.is_wanted:
            self.suggestions.forget()
        elif self.image.observation is not None:
            seen, kept = self.image.observation, self._users_own()
            self._used = self._identity()
            self.suggestions.ask(lambda: _suggestion(kept, seen))
        self.tell("")
        self._refresh()

    def apply(self) -> None:
        """Add the prepared image as a layer; it is made in the background."""
        seen, source, recipe = self.image.observation, self.image.source, self.recipe
        if seen is None or source is None or not recipe.taken:
            return
        names = {layer.name for layer in self.viewer.layers}
        self.applications.ask(lambda: prepared_layer(seen, source, recipe, names))
        self.tell("")
        self._refresh()

    def _users_own(self) -> Recipe:
        """The steps at the beginning that the image is looked at after."""
        steps = self.recipe.taken
        count = next((n for n, step in enumerate(steps) if step.operation not in USERS_OWN), len(steps))
        return Recipe(steps[:count])

    def _identity(self) -> tuple[Any, ...]:
        """What the image is, to be compared."""
        image = self.image
        if image.layer is None:
            return ()
        return image.layer, image.revision, image.at, image.mask.named(), image.mask.request

    def _add_buttons(self) -> None:
        self.heading = QToolButton()
        self.heading.setObjectName("heading")
        self.heading.setCheckable(True)
        self.heading.setToolTip(f"<p>{HEADING_HELP}</p>")
        self.suggest_button, self.add_button = QPushButton(SUGGEST), QPushButton("Add step")
        self.suggest_button.setToolTip(f"<p>{SUGGEST_HELP}</p>")
        self.suggest_button.clicked.connect(self.suggest)
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        for known in operations():
            action = self.menu.addAction(known.label)
            assert action is not None
            action.setToolTip(f"<p>{known.help}</p>")
            action.triggered.connect(lambda _=False, name=known.name: self.form.add(name))
        self.add_button.setMenu(self.menu)
        self.load_button, self.save_button = QPushButton("Load…"), QPushButton("Save…")
        self.load_button.setToolTip("<p>Take the steps from a recipe's file (JSON)</p>")
        self.save_button.setToolTip(
            "<p>Save the steps as a file (JSON), for other images and for scripts</p>"
        )
        self.load_button.clicked.connect(self.files.ask_what_to_load)
        self.save_button.clicked.connect(self.files.ask_where_to_save)
        self.apply_button = QPushButton("Apply")
        self.apply_button.setToolTip(f"<p>{APPLY_HELP}</p>")
        self.apply_button.clicked.connect(self.apply)

    def _lay_out(self) -> None:
        self.summary, self.told = hint_label(), hint_label()
        self.told.hide()
        self.body = QWidget()
        inner = QVBoxLayout(self.body)
        inner.setContentsMargins(0, 0, 0, 4)
        inner.setSpacing(6)
        inner.addLayout(_row(self.suggest_button, self.add_button))
        inner.addWidget(self.form)
        inner.addWidget(self.preview)
        inner.addWidget(self.told)
        inner.addLayout(_row(self.load_button, self.save_button, self.apply_button))
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(2)
        outer.addWidget(self.heading)
        outer.addWidget(self.summary)
        outer.addWidget(self.body)

    def _show_body(self, shown: bool) -> None:
        self.heading.setText(f"{'▾' if shown else '▸'} Prepare")
        self.body.setVisible(shown)
        self._refresh()
        self._look_soon()

    def _follow_recipe(self) -> None:
        self.tell("")
        self._refresh()
        self._look_soon()
        self.changed.emit()

    def _follow_image(self) -> None:
        if self.suggestions.is_wanted and self._used != self._identity():
            self.suggestions.forget()
        if self.image.layer != self._layer:
            self._layer = self.image.layer
            self.tell("")
            if self._layer is not None and role_of(self._layer) == PREPARED and self.recipe.taken:
                self.form.switch_off()
                self.tell(TWICE)
        self._refresh()
        self._look_soon()

    def _refresh(self) -> None:
        """Say what Recover will do, and offer what can be done."""
        recipe, there = self.recipe, self.image.observation is not None
        taken = recipe.taken
        opened = self.heading.isChecked()
        if taken:
            self.summary.setText("" if opened else f"<i>Recover</i> takes first: {named(taken)}.")
        elif self.form.rows:
            self.summary.setText("All steps are switched off: the image is recovered as it is.")
        else:
            self.summary.setText(EMPTY if opened else "")
        self.summary.setVisible(bool(self.summary.text()))
        looking, applying = self.suggestions.is_wanted, self.applications.is_wanted
        self.suggest_button.setText(SUGGESTING if looking else SUGGEST)
        self.suggest_button.setEnabled(there)
        self.apply_button.setText("Applying…" if applying else "Apply")
        self.apply_button.setEnabled(there and bool(taken) and not applying)
        self.save_button.setEnabled(bool(self.form.rows))
        if looking:
            self.tell("Looking for faults in the image…")

    def _look_soon(self) -> None:
        if self.heading.isChecked():
            self._timer.start()

    def _look(self) -> None:
        """Make the preview anew."""
        seen, recipe = self.image.observation, self.recipe
        if seen is None or not self.heading.isChecked() or not self.form.rows:
            self.looks.forget()
            self.preview.hide()
            return
        self.looks.ask(lambda: look(seen, recipe))

    def _show_look(self, outcome: Look | Failure) -> None:
        if isinstance(outcome, Failure):
            self._tell_failure(outcome)
            return
        problem = sentence(outcome.problem) if outcome.problem else ""
        self.form.show_found(outcome.found, outcome.failed, problem)
        size = self.image.observation.pixel_size if self.image.observation is not None else (1.0, 1.0)
        self.preview.show_look(outcome, size[0] / size[1])
        self.previewed.emit(outcome)

    def _show_suggestion(self, outcome: Recipe | Failure) -> None:
        if isinstance(outcome, Failure):
            self._tell_failure(outcome)
        else:
            self.form.show_recipe(outcome)
            if not outcome.steps:
                self.tell(CLEAN)
        self._refresh()
        self.suggested.emit(outcome)

    def _add_prepared(self, outcome: LayerData | Failure) -> None:
        if isinstance(outcome, Failure):
            self._tell_failure(outcome)
        else:
            layer = add_layer(self.viewer, outcome)
            self.tell(f"Added the layer {layer.name}.")
        self._refresh()
        self.applied.emit(outcome)

    def tell(self, text: str) -> None:
        """Say something below the steps; an empty text hides it."""
        self.told.setText(text)
        self.told.setVisible(bool(text))

    def _tell_failure(self, failure: Failure) -> None:
        self.tell(sentence(failure.error))


def _suggestion(kept: Recipe, seen: Any) -> Recipe:
    """The user's own steps, and what the image shows to be needed after them."""
    return Recipe(kept.steps + suggest_recipe(kept.apply(seen)).steps)


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(8)
    for button in buttons:
        row.addWidget(button)
    return row
