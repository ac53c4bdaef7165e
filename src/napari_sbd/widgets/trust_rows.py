"""The figures of a result's trust in words: name, value and explanation of each."""

from __future__ import annotations

from napari_sbd.api import Recovery

Row = tuple[str, str, str]


def trust_rows(recovery: Recovery) -> list[Row]:
    """Name, value and help of each figure, in the order in which they are shown."""
    trust = recovery.trust
    rows: list[Row] = []
    if trust.starts > 1:
        help_ = "How many of the starts, each from another patch of the image, ended in the same kernel."
        rows.append(("Starts that agree", f"{trust.starts_agreeing} of {trust.starts}", help_))
    rows += [
        (
            "Residual",
            f"{trust.residual_to_noise:.2f} × noise",
            "Deviation of the residual over that of the pixel noise: 1 where nothing but noise is left.",
        ),
        (
            "Whiteness",
            f"{trust.whiteness:.2f}",
            "Geometric over arithmetic mean of the residual's power spectrum: 1 for white noise, less where "
            "some frequencies stand out.",
        ),
        (
            "Lattice",
            f"{100 * trust.lattice:.2g} %" if trust.lattice else "none",
            "Share of the image's power in sharp Fourier peaks, as those of a lattice are.",
        ),
    ]
    if not recovery.nothing:
        rows += _rows_of_kernels(recovery)
    return rows


def _rows_of_kernels(recovery: Recovery) -> list[Row]:
    trust, asked = recovery.trust, recovery.parameters
    rows: list[Row] = [
        (
            "Edge of the window",
            _each(trust.edge),
            "Power of the kernel at the edge of its window over its mean power: above 5 %, the window cuts "
            "the kernel.",
        )
    ]
    if recovery.types > 1:
        rows += [
            (
                "Types alike",
                _each(trust.alike),
                "Largest similarity of each type's kernel to that of another, modulo shift and sign.",
            ),
            (
                "Types side by side",
                _each(trust.together),
                "Share of each type's defects that sit at one offset from those of another type.",
            ),
        ]
    given = "given" if asked.lam_last is not None else "automatic"
    size = " × ".join(str(k) for k in trust.window)
    return [
        *rows,
        (
            "Final λ",
            f"{trust.lam:.2g} λ<sub>max</sub>, {given}",
            f"Sparsity penalty at the end, as a fraction of λ<sub>max</sub> = {trust.lam_max:.3g}, which "
            "leaves the activation map empty.",
        ),
        (
            "Window",
            f"{size} px, {'given' if asked.kernel_size is not None else 'automatic'}{_own(recovery)}",
            "Rows and columns of the kernel's window. A type that is much smaller than the others has a "
            "window of its own.",
        ),
    ]


def _own(recovery: Recovery) -> str:
    """Windows of the types that have one of their own."""
    own = [(n, w) for n, w in enumerate(recovery.windows, 1) if w != recovery.window]
    return "".join(f"; type {n}: {w[0]} × {w[1]} px" for n, w in own)


def _each(shares: tuple[float, ...]) -> str:
    return ", ".join(f"{100 * share:.0f} %" for share in shares)
