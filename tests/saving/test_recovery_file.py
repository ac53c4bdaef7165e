import ast
import re
import subprocess
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import napari_sbd as sbd
from napari_sbd.core.recovery import Recovery as CoreRecovery
from napari_sbd.io import recovery_file
from napari_sbd.io.compare import differences

ROOT = Path(__file__).parents[2]


@pytest.fixture
def saved(recovery, tmp_path):
    return recovery.save(tmp_path / "topo.sbd.h5")


@pytest.mark.parametrize("which", ["recovery", "several"])
def test_what_is_opened_is_what_was_saved(request, which, tmp_path):
    recovery = request.getfixturevalue(which)
    opened = sbd.load(recovery.save(tmp_path / "topo"))
    assert type(opened) is sbd.Recovery
    assert differences(recovery, opened) == []
    for derived in ("activations", "reconstruction", "residual", "defects", "summary", "window", "signed"):
        assert differences(getattr(recovery, derived), getattr(opened, derived)) == [], derived
    assert opened.provenance() == recovery.provenance()


def test_opened_settings_give_the_result_again(recovery, saved):
    opened = sbd.load(saved)
    again = sbd.recover(opened.observation, name="topo", **opened.parameters.changed())
    assert differences(recovery.kernels, again.kernels) == []
    assert differences(recovery.defects, again.defects) == []


def test_saving_what_was_opened_changes_nothing(recovery, saved, tmp_path):
    second = sbd.load(saved).save(tmp_path / "again.sbd.h5")
    assert differences(recovery, sbd.load(second)) == []


def test_every_field_is_stored(recovery, saved):
    """Also one that was added yesterday: it must be in the file, and differ when it differs."""
    with h5py.File(saved) as file:
        stored = {*file, *file.attrs}
    assert {item.name for item in fields(sbd.Recovery)} <= stored
    for item in fields(sbd.Recovery):
        other = replace(recovery, **{item.name: object})
        assert differences(recovery, other) == [item.name]


def test_threshold_and_energies_come_back(recovery, tmp_path):
    chosen = recovery.with_threshold(snr=4.5, strength=0.1, outside=True)
    opened = sbd.load(chosen.save(tmp_path / "chosen"))
    assert opened.threshold == chosen.threshold
    assert differences(chosen, opened) == []
    assert differences(chosen.defects, opened.defects) == []
    assert (opened.source.energies, opened.source.energy_unit) == ((-0.1, 0.1), "V")
    assert (opened.source.slice_scale, opened.source.slice_unit, opened.source.slice_label) == (
        0.2,
        "volt",
        "bias",
    )
    again = opened.with_threshold(snr=1000)
    assert (len(again.defects), opened.trust == chosen.trust) == (0, True)


@dataclass(frozen=True)
class Judged:
    figure: float
    map: np.ndarray


@dataclass(frozen=True, eq=False)
class WithMore(CoreRecovery):
    """A recovery with new fields of every plain kind."""

    level: float | None = None
    image: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    judged: tuple[Judged, ...] = ()
    figures: dict[str, float | None] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    nested: tuple = ()
    flags: list = field(default_factory=list)


def test_new_fields_of_every_plain_kind_are_stored_without_new_code(recovery, tmp_path):
    plain = {item.name: getattr(recovery, item.name) for item in fields(CoreRecovery)}
    more = WithMore(
        **plain,
        level=np.float64(0.25),
        image=np.arange(6, dtype=np.complex64).reshape(2, 3),
        judged=(Judged(1.5, np.eye(3, dtype=bool)), Judged(float("nan"), np.ones(2, ">i2"))),
        figures={"a/b": 1.0, "_c": None, "é": float("inf"), "": 3.0},
        table=pd.DataFrame({"name": ["a", "µ"], "n": [1, 2], "ok": [True, False], "x": [0.5, np.nan]}),
        nested=((1, 2.5, "x"), (), (True, None), ((1.0, 0.0), (0.0, 1.0))),
        flags=[True, False],
    )
    more = replace(more, level=0.25)
    path = recovery_file.save(more, tmp_path / "more")
    opened = recovery_file.load(path, WithMore)
    assert differences(more, opened) == []
    assert isinstance(opened.judged[0], Judged)


def test_long_texts_and_tuples_are_stored(recovery, tmp_path):
    recipe = '{"steps": [' + ", ".join('{"level": "plane", "µ": 1}' for _ in range(5000)) + "]}"
    figures = {"all": tuple(np.linspace(0, 1, 5000).tolist()), "few": ["a"] * 3}
    long = replace(recovery, recipe=recipe, quality=figures)
    assert differences(long, sbd.load(long.save(tmp_path / "long"))) == []


def test_what_is_not_plain_is_named(recovery, tmp_path):
    with pytest.raises(TypeError, match=r"/quality/odd is a object: only plain values can be saved"):
        replace(recovery, quality={"odd": object()}).save(tmp_path / "odd")
    assert not list(tmp_path.iterdir())


def test_a_field_that_came_later_has_its_default(recovery, saved):
    with h5py.File(saved, "r+") as file:
        del file.attrs["nothing"], file.attrs["recipe"], file["history"]
    opened = sbd.load(saved)
    assert (opened.nothing, opened.recipe, len(opened.history)) == ("", None, 0)


def test_saved_table_is_kept_as_it_was(recovery, saved):
    with h5py.File(saved, "r+") as file:
        file["defects/snr"][...] = np.arange(len(recovery.defects))
    np.testing.assert_array_equal(sbd.load(saved).defects["snr"], np.arange(len(recovery.defects)))


def test_header_tells_format_and_version(saved, recovery):
    with h5py.File(saved) as file:
        assert file.attrs["format"] == "napari-sbd recovery"
        assert file.attrs["version"] == 1
        assert file["parameters"].attrs["seed"] == recovery.parameters.seed
        assert {"napari-sbd", "numpy", "scipy", "napari", "python"} <= {*file["versions"].attrs}
        assert file["defects/x_nm"].attrs["unit"] == "nm"
        assert file["defects/row"].attrs["unit"] == "px"
        assert file["source"].attrs["name"] == "topo"


def test_file_is_read_without_this_package(saved, recovery):
    """The example of docs/file-format.md, run by a Python that knows nothing of us."""
    text = (ROOT / "docs" / "file-format.md").read_text("utf-8")
    [code] = [c for c in re.findall(r"```python\n(.*?)```", text, re.S) if "h5py" in c]
    assert len(code.strip().splitlines()) <= 10
    assert not any("napari" in ast.unparse(n) for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Import))
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=saved.parent, capture_output=True, text=True, check=True
    )
    assert f"{len(recovery.defects)} defects" in found.stdout
    assert "residual" in found.stdout
    deviation = float(found.stdout.split()[-1])
    assert deviation == pytest.approx(np.nanstd(recovery.residual), rel=1e-3)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            2,
            r"topo\.sbd\.h5 has version 2 of the file format, written by .*9\.1.*: update napari-sbd",
        ),
        (0, r"has version 0 .*: save it anew with the version that wrote it"),
    ],
)
def test_another_version_is_named_with_the_remedy(saved, version, message):
    with h5py.File(saved, "r+") as file:
        file.attrs["version"], file.attrs["package_version"] = version, "9.1"
    with pytest.raises(ValueError, match=message):
        sbd.load(saved)


def test_foreign_files_are_named(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*lost"):
        sbd.load(tmp_path / "lost.sbd.h5")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        sbd.load(tmp_path)
    for content, message in (
        (b"", "is empty"),
        (b"topo", "is no saved recovery"),
        (b"PK" * 99, "is no saved recovery"),
    ):
        saved.write_bytes(content)
        with pytest.raises(ValueError, match=rf"topo\.sbd\.h5 {message}: choose a file"):
            sbd.load(saved)
    with h5py.File(saved, "w") as file:
        file["data"] = np.eye(3)
    with pytest.raises(ValueError, match=r"topo\.sbd\.h5 is an HDF5 file, but no saved recovery"):
        sbd.load(saved)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.__delitem__("kernels"), "/ lacks kernels"),
        (lambda file: file["peaks/0"].__delitem__("centres"), "/peaks/0 lacks centres"),
        (lambda file: file["parameters"].attrs.__setitem__("starts", 0), "starts must be a whole number"),
        (lambda file: file["history"].__delitem__("lam"), "lacks lam"),
    ],
)
def test_damage_is_named(saved, spoil, message):
    with h5py.File(saved, "r+") as file:
        spoil(file)
    with pytest.raises(ValueError, match=rf"topo\.sbd\.h5 is damaged .*({message}).*: open another copy"):
        sbd.load(saved)


@pytest.mark.parametrize("place", ["/", "parameters", "peaks/0"])
def test_a_field_of_a_newer_version_is_named_with_the_remedy(saved, place):
    with h5py.File(saved, "r+") as file:
        file[place].attrs["novelty"] = 1
    with pytest.raises(
        ValueError, match=r"topo\.sbd\.h5 holds novelty in /.*: it is of a newer version, update"
    ):
        sbd.load(saved)


def test_a_flipped_bit_of_a_text_is_noticed(saved):
    content = saved.read_bytes()
    saved.write_bytes(content.replace(b"finished", b"finishes", 1))
    with pytest.raises(ValueError, match=r"topo\.sbd\.h5 is damaged \(.*checksum"):
        sbd.load(saved)


def test_shapes_that_do_not_fit_are_named(saved):
    with h5py.File(saved, "r+") as file:
        kernels = file["kernels"][()]
        del file["kernels"]
        file["kernels"] = kernels[..., :-2]
    with pytest.raises(ValueError, match="extended_activations has shape"):
        sbd.load(saved)


def test_sizes_that_lie_take_no_memory(saved):
    with h5py.File(saved, "r+") as file:
        del file["kernels"]
        file.create_dataset("kernels", (1, 2, 200_000, 200_000), float, chunks=(1, 1, 64, 64))
    with pytest.raises(ValueError, match=r"claims .* bytes, more than the file can hold"):
        sbd.load(saved)


def test_mutations_give_the_documented_error_or_the_same(recovery, saved):
    rng = np.random.default_rng(0)
    whole, refused, unharmed = saved.read_bytes(), 0, 0
    for _ in range(60):
        content = bytearray(whole)
        if rng.random() < 0.3:
            del content[int(rng.integers(len(content))) :]
        else:
            for place in rng.integers(len(content), size=int(rng.integers(1, 20))):
                content[place] ^= int(rng.integers(1, 256))
        saved.write_bytes(content)
        try:
            opened = sbd.load(saved)
        except ValueError as error:
            refused += "topo.sbd.h5" in str(error)
        else:
            unharmed += differences(recovery, opened) == []
    assert refused > 40
    assert refused + unharmed == 60


def test_ending_is_added(recovery, tmp_path):
    assert recovery.save(tmp_path / "map").name == "map.sbd.h5"
    assert recovery.save(str(tmp_path / "map 4.2 K.h5")).name == "map 4.2 K.sbd.h5"
