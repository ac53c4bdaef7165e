"""Colours of the widgets, mixed from napari's current theme."""

from __future__ import annotations

from typing import Any

from napari.utils.theme import get_theme

NARROW, WIDE = 71, 122  # px, of spin boxes without their borders; napari sets its own otherwise
HINT_STRENGTH = 0.68  # share of the text's colour in a hint's; the rest is the background's


def style_sheet(theme_name: str) -> str:
    """Style sheet of a dock widget for a theme of napari."""
    theme = get_theme(theme_name)
    hint = _mixed(theme.text, theme.background, HINT_STRENGTH)
    primary = _mixed(theme.current, theme.highlight, 0.5)
    return f"""
        QLabel#hint {{ color: {hint}; }}
        QLabel#problem {{ color: {_mixed(theme.error, theme.text, 0.6)}; }}
        QToolButton#small {{ background: transparent; border: none; min-width: 20px; min-height: 20px; }}
        QToolButton#small:hover {{ background: {_css(theme.foreground)}; }}
        QToolButton#small:disabled {{ color: {_mixed(theme.text, theme.background, HINT_STRENGTH / 3)}; }}
        QLabel#hint:disabled {{ color: {_mixed(theme.text, theme.background, HINT_STRENGTH / 2)}; }}
        QLabel#message {{ padding: 6px 8px; background: {_css(theme.foreground)}; border-radius: 2px; }}
        QLabel#message[level="warning"] {{ border-left: 4px solid {_css(theme.warning)}; }}
        QLabel#message[level="error"] {{ border-left: 4px solid {_css(theme.error)}; }}
        QLabel#message[level="result"] {{ border-left: 4px solid {_css(theme.current)}; }}
        QPushButton#primary {{ font-weight: bold; min-height: 24px; }}
        QPushButton#primary:enabled {{ background: {_css(theme.current)}; }}
        QPushButton#primary:enabled:hover {{ background: {primary}; }}
        QToolButton#heading {{ background: transparent; border: none; padding: 4px 0px; text-align: left; }}
        QToolButton#heading:hover {{ color: {hint}; }}
        QAbstractSpinBox#narrow {{ min-width: {NARROW}px; max-width: {NARROW}px; }}
        QAbstractSpinBox#wide {{ min-width: {WIDE}px; max-width: {WIDE}px; }}
        QCheckBox {{ spacing: 6px; }}
        QProgressBar {{ min-height: 14px; max-height: 14px; text-align: center; }}
    """


def _css(colour: Any) -> str:
    return str(colour.as_hex())


def _mixed(first: Any, second: Any, share: float) -> str:
    pairs = zip(first.as_rgb_tuple(), second.as_rgb_tuple(), strict=True)
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)
