"""Small whole files of every kind that is read, written here from the formats' descriptions.

Each writer returns the arrays that a reader must give back, by the channel's label. Tests use them, and the
fuzz suite damages them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

ROWS, COLS, SLICES = 40, 48, 5
PIXEL = (0.2, 0.1)  # nm, along rows and columns


def image(seed: int = 0, dtype: str = "f8") -> NDArray[Any]:
    """An image that looks different when turned, mirrored or sheared; no two pixels are equal."""
    rows, cols = np.indices((ROWS, COLS))
    values = np.random.default_rng(seed).normal(size=(ROWS, COLS)) + 0.1 * rows + 0.03 * cols
    return (1e-10 * values).astype(dtype)


def stack(seed: int = 0, dtype: str = "f8") -> NDArray[Any]:
    """Slices of such images."""
    return np.stack([image(seed + n, dtype) for n in range(SLICES)])


def sxm(
    path: Path, *, up: bool = False, order: str = ">", measured: int = ROWS, fill: float = np.nan
) -> Arrays:
    """A Nanonis scan of two channels; lines after the `measured` first ones hold `fill`."""
    truth = {
        "Z": image(1, "f4"),
        "Z backward": image(2, "f4"),
        "LI Demod 1 X": image(3, "f4"),
        "Current backward": image(4, "f4"),
    }
    height, width = 1e-9 * PIXEL[0] * ROWS, 1e-9 * PIXEL[1] * COLS
    info = (
        "\tChannel\tName\tUnit\tDirection\tCalibration\tOffset\n\t14\tZ\tm\tboth\t9.000E-9\t0.000E+0\n"
        "\t20\tLI_Demod_1_X\tA\tforward\t1.000E-9\t0.0\n\t0\tCurrent\tA\tbackward\t1.000E-9\t0.0\n"
    )
    fields = {
        "NANONIS_VERSION": "2",
        "SCANIT_TYPE": f"              FLOAT            {'MSB' if order == '>' else 'LSB'}FIRST",
        "SCAN_PIXELS": f"       {COLS}       {ROWS}",
        "SCAN_RANGE": f"           {width:E}           {height:E}",
        "SCAN_ANGLE": "            1.500E+1",
        "SCAN_DIR": "up" if up else "down",
        "BIAS": "            -5.000E-2",
        "COMMENT": "4.4 K\n 20 µm : cold",
        "DATA_INFO": info,
    }
    header = "".join(f":{key}:\n{value}\n" for key, value in fields.items()) + ":SCANIT_END:\n\n\n"
    stored = []
    for label, values in truth.items():
        scanned = values[::-1].copy() if up else values.copy()
        scanned[measured:] = fill
        stored.append(scanned[:, ::-1] if label.endswith("backward") else scanned)
        values[...] = scanned[::-1] if up else scanned
        if measured < ROWS:
            (values[: ROWS - measured] if up else values[measured:])[...] = np.nan
    data = b"".join(values.astype(f"{order}f4").tobytes() for values in stored)
    path.write_bytes(header.encode("latin-1") + b"\x1a\x04" + data)
    return truth


def grid(path: Path, *, measured: int = 12 * 15, pad: bool = False, places: bool = True) -> Arrays:
    """A Nanonis grid of 12×15 points, rotated by 30°, the `measured` first points of it."""
    rows, cols, points = 12, 15, 8
    rng = np.random.default_rng(0)
    truth = {
        "Z": (1e-10 * rng.normal(size=(rows, cols))).astype("f4"),
        "Current": rng.normal(size=(points, rows, cols)).astype("f4"),
        "LI Demod 1 X": rng.normal(size=(points, rows, cols)).astype("f4"),
    }
    turn = np.exp(-1j * np.radians(30))  # clockwise, as Nanonis counts
    y, x = (np.arange(n) - (n - 1) / 2 for n in (rows, cols))
    spots = 1e-9 * (PIXEL[1] * x[None] + 1j * PIXEL[0] * y[:, None]) * turn + 3e-8 - 5e-8j
    names = [*(("X (m)", "Y (m)") if places else ()), "Z (m)"]
    upward = {"X (m)": spots.real, "Y (m)": spots.imag, "Z (m)": truth["Z"][::-1]}
    parameters = [np.full((rows, cols), -0.1), np.full((rows, cols), 0.25), *(upward[n] for n in names)]
    sweeps = [np.moveaxis(truth[name][:, ::-1], 0, -1) for name in ("Current", "LI Demod 1 X")]
    data = np.concatenate([np.stack(parameters, -1), *sweeps], -1).reshape(rows * cols, -1).astype(">f4")
    size = f"{1e-9 * PIXEL[1] * cols:E};{1e-9 * PIXEL[0] * rows:E}"
    header = (
        f'Grid dim="{cols} x {rows}"\r\nGrid settings=3E-8;-5E-8;{size};30\r\nSweep Signal="Bias (V)"\r\n'
        f'Fixed parameters="Sweep Start;Sweep End"\r\nExperiment parameters="{";".join(names)}"\r\n'
        f"# Parameters (4 byte)={len(parameters)}\r\nExperiment size (bytes)={4 * 2 * points}\r\n"
        f'Points={points}\r\nChannels="Current (A);LI Demod 1 X (A)"\r\n:HEADER_END:\r\n'
    )
    if pad:
        data[measured:] = 0
    path.write_bytes(header.encode() + (data if pad else data[:measured]).tobytes())
    gone = np.arange(rows * cols).reshape(rows, cols)[::-1] >= measured
    for values in truth.values():
        values[..., gone] = np.nan
    return truth


def mat(path: Path, *, compressed: bool = False) -> Arrays:
    """A MATLAB file of version 7 (or 6): two variables, one inside a structure, a stack, and some text."""
    from scipy.io import savemat

    truth = {"Z": image(1), "scan.dIdV": stack(2), "count": (1e12 * image(3)).astype("i2")}
    content = {
        "Z": truth["Z"],
        "scan": {"dIdV": np.moveaxis(truth["scan.dIdV"], 0, -1), "user": "nobody"},
        "count": truth["count"],
        "energies": np.arange(SLICES) / 10,
        "pixel_size_nm": np.array(PIXEL),
    }
    savemat(path, content, do_compression=compressed, appendmat=False)
    return truth


def mat_packed(path: Path) -> Arrays:
    """The same with compression."""
    return mat(path, compressed=True)


def mat73(path: Path) -> Arrays:
    """A MATLAB file of version 7.3: HDF5 behind a header of its own, axes in reverse."""
    import h5py

    truth = {"Z": image(1), "scan.dIdV": stack(2)}
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("Z", data=truth["Z"].T).attrs["MATLAB_class"] = np.bytes_("double")
        group = file.create_group("scan")
        reverse = np.transpose(truth["scan.dIdV"], (0, 2, 1))
        packed = group.create_dataset("dIdV", data=reverse, chunks=(2, 24, 20), compression="gzip")
        packed.attrs["MATLAB_class"] = np.bytes_("double")
        letters = group.create_dataset("user", data=np.frombuffer(b"n\0o\0", "u2")[:, None])
        letters.attrs["MATLAB_class"] = np.bytes_("char")
        file["pixel_size_nm"] = np.array(PIXEL)[:, None]
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return truth


def npy(path: Path) -> Arrays:
    """A NumPy file."""
    np.save(path, image(1))
    return {path.stem: image(1)}


def npz(path: Path) -> Arrays:
    """A NumPy archive, with compression."""
    np.savez_compressed(path, Z=image(1), dIdV=stack(2), pixel_size_nm=PIXEL, energies=np.arange(SLICES) / 10)
    return {"Z": image(1), "dIdV": stack(2)}


def gwy(path: Path) -> Arrays:
    """A Gwyddion file of two channels and a brick."""

    def value(name: str, code: str, content: bytes) -> bytes:
        return name.encode() + b"\0" + code.encode() + content

    def tree(kind: str, *values: bytes) -> bytes:
        inner = b"".join(values)
        return kind.encode() + b"\0" + struct.pack("<I", len(inner)) + inner

    def text(name: str, content: str) -> bytes:
        return value(name, "s", content.encode() + b"\0")

    def unit(name: str, symbol: str) -> bytes:
        return value(name, "o", tree("GwySIUnit", text("unitstr", symbol)))

    def numbers(name: str, content: NDArray[Any]) -> bytes:
        return value(name, "D", struct.pack("<I", content.size) + content.astype("<f8").tobytes())

    def sizes(shape: dict[str, int]) -> list[bytes]:
        return [value(name, "i", struct.pack("<i", n)) for name, n in shape.items()]

    def lengths(content: dict[str, float]) -> list[bytes]:
        return [value(name, "d", struct.pack("<d", x)) for name, x in content.items()]

    extent = {"xreal": 1e-9 * PIXEL[1] * COLS, "yreal": 1e-9 * PIXEL[0] * ROWS}
    truth = {"Height": image(1), "Current": image(2), "dI/dV": stack(3)}
    parts = []
    for number, name in enumerate(("Height", "Current")):
        units = [unit("si_unit_xy", "m"), unit("si_unit_z", "m" if name == "Height" else "A")]
        shape = sizes({"xres": COLS, "yres": ROWS})
        field = tree("GwyDataField", *shape, *lengths(extent), *units, numbers("data", truth[name]))
        parts += [value(f"/{number}/data", "o", field), text(f"/{number}/data/title", name)]
    shape = sizes({"xres": COLS, "yres": ROWS, "zres": SLICES})
    places = lengths(extent | {"zreal": 0.5, "zoff": -0.2})
    units = [unit("si_unit_x", "m"), unit("si_unit_y", "m"), unit("si_unit_z", "V"), unit("si_unit_w", "A")]
    brick = tree("GwyBrick", *shape, *places, *units, numbers("data", truth["dI/dV"]))
    parts += [value("/brick/1", "o", brick), text("/brick/1/title", "dI/dV")]
    path.write_bytes(b"GWYP" + tree("GwyContainer", *parts))
    return truth


def dm(path: Path, *, version: int = 3) -> Arrays:
    """A Digital Micrograph file: a coloured thumbnail, an image in nm and a spectrum image in eV."""
    wide = "Q" if version == 4 else "I"
    codes = {"f4": (6, 2), "u2": (4, 10), "i4": (3, 23)}  # type of the elements, type of the image

    def tag(name: str, kind: int, content: bytes) -> bytes:
        size = struct.pack(">Q", len(content)) if version == 4 else b""
        return struct.pack(">BH", kind, len(name)) + name.encode("latin-1") + size + content

    def info(*words: int) -> bytes:
        return b"%%%%" + struct.pack(f">{len(words) + 1}{wide}", len(words), *words)

    def group(name: str, *tags: bytes) -> bytes:
        return tag(name, 20, struct.pack(f">BB{wide}", 0, 0, len(tags)) + b"".join(tags))

    def whole(name: str, n: int) -> bytes:
        return tag(name, 21, info(5) + struct.pack("<I", n))

    def real(name: str, x: float) -> bytes:
        return tag(name, 21, info(6) + struct.pack("<f", x))

    def text(name: str, content: str) -> bytes:
        return tag(name, 21, info(20, 4, len(content)) + content.encode("utf-16-le"))

    def entry(name: str, values: NDArray[Any], units: tuple[str, ...]) -> bytes:
        element, kind = codes[values.dtype.str[1:]]
        steps = (PIXEL[1], PIXEL[0], 0.5)
        scales = [
            group("", real("Origin", 2 if unit == "eV" else 0), real("Scale", step), text("Units", unit))
            for step, unit in zip(steps, units, strict=False)
        ]
        data = group(
            "ImageData",
            group("Calibrations", group("Dimension", *scales)),
            tag("Data", 21, info(20, element, values.size) + values.tobytes()),
            whole("DataType", kind),
            group("Dimensions", *(whole("", n) for n in reversed(values.shape))),
        )
        corners = tag("Box", 21, info(15, 0, 2, 0, 6, 0, 6) + struct.pack("<2f", 1, 2))
        microscope = group("ImageTags", group("Microscope Info", real("Voltage", 2e5), text("Name", "none")))
        return group("", data, text("Name", name), microscope, corners)

    truth = {"HAADF": (1e12 * image(1)).astype("f4"), "EELS": (1e12 * stack(2) + 9e3).astype("u2")}
    units = {"HAADF": ("nm", "nm"), "EELS": ("nm", "nm", "eV")}
    thumbnail = entry("", np.zeros((8, 8), "i4"), ())
    images = [entry(name, values, units[name]) for name, values in truth.items()]
    tags = [
        group("Thumbnails", group("", whole("ImageIndex", 0))),
        group("ImageList", thumbnail, *images),
    ]
    root = struct.pack(f">BB{wide}", 0, 0, len(tags)) + b"".join(tags)
    path.write_bytes(struct.pack(f">I{wide}I", version, len(root) + 4, 1) + root + bytes(8))
    return truth


def dm4(path: Path) -> Arrays:
    """The same in version 4."""
    return dm(path, version=4)


def emd(path: Path) -> Arrays:
    """An EMD file as the NCEM writes it."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update({"version_major": 0, "version_minor": 2})
        group = file.create_group("data/HAADF")
        group.attrs["emd_group_type"] = 1
        group["data"] = image(1).T  # x is the first axis there
        for axis, size in enumerate((COLS, ROWS)):
            scale = group.create_dataset(f"dim{axis + 1}", data=PIXEL[1 - axis] * np.arange(size))
            scale.attrs.update({"name": "xy"[axis], "units": "nm"})
    return {"HAADF": image(1)}


def mrc(path: Path) -> Arrays:
    """An MRC file of one image of floats."""
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, COLS, ROWS, 1, 2, 0, 0, 0, COLS, ROWS, 1)
    struct.pack_into("<6f", header, 40, 10 * PIXEL[1] * COLS, 10 * PIXEL[0] * ROWS, 1, 90, 90, 90)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    header[208:216] = b"MAP \x44\x44\0\0"
    values = (1e12 * image(1)).astype("f4")
    path.write_bytes(bytes(header) + values.tobytes())
    return {path.stem: values}


def ser(path: Path) -> Arrays:
    """A TIA series of one image."""
    values = (1e12 * image(1) + 9e3).astype("u2")
    unit = b"Number"
    head = struct.pack("<hhhiiiiii", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1, 0, 1)
    dimension = struct.pack("<iddii", 1, 0.0, 1.0, 0, len(unit)) + unit + struct.pack("<i", 0)
    places = len(head) + len(dimension)
    element = struct.pack("<ddiddihii", 0, 1e-9 * PIXEL[1], 0, 0, 1e-9 * PIXEL[0], 0, 2, COLS, ROWS)
    start = places + 8
    end = start + len(element) + values.nbytes
    head = head[:22] + struct.pack("<i", places) + head[26:]
    data = element + values[::-1].tobytes()  # from the bottom up
    path.write_bytes(
        head + dimension + struct.pack("<ii", start, end) + data + struct.pack("<hhi", 0x4152, 0, 0)
    )
    return {path.stem: values}


# By the name of the fuzz suite's part: suffix and writer.
FILES: dict[str, tuple[str, Callable[[Path], Arrays]]] = {
    "sxm": (".sxm", sxm),
    "3ds": (".3ds", grid),
    "mat": (".mat", mat),
    "mat packed": (".mat", mat_packed),
    "mat 7.3": (".mat", mat73),
    "npy": (".npy", npy),
    "npz": (".npz", npz),
    "gwy": (".gwy", gwy),
    "dm3": (".dm3", dm),
    "dm4": (".dm4", dm4),
    "emd": (".emd", emd),
    "mrc": (".mrc", mrc),
    "ser": (".ser", ser),
}
