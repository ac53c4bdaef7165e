import csv
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import napari_sbd as sbd
from napari_sbd.command_line import main
from napari_sbd.simulate import ldos_kernel, random_field

QUICK = ["--kernel-size", "9", "--types", "1", "--starts", "1", "--kept", "1", "--refinements", "0"]
QUICK += ["--workers", "1"]
needs_prepare = pytest.mark.skipif(
    importlib.util.find_spec("napari_sbd.prepare") is None, reason="there is no napari_sbd.prepare yet"
)


FAST = (7, 8, 2, 3, 5, 0, 10)  # seeds of fields that are recovered quickly


def field(number, shape=(40, 44)):
    return random_field(ldos_kernel(9), shape, density=0.003, snr_db=25, seed=FAST[number]).image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two scans and one that is broken; the current folder."""
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        np.savez(f"scan{seed}.npz", Z=field(seed), Current=field(seed + 5), pixel_size_nm=0.2)
    (tmp_path / "broken.sxm").write_bytes(b":NANONIS_VERSION:\n2\n")
    return tmp_path


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_recover_writes_results_and_a_summary(folder, capsys):
    assert main(["recover", "scan*.npz", "broken.sxm", "--out", "new/results", *QUICK]) == 1
    out, err = capsys.readouterr()
    results = folder / "new" / "results"
    assert sorted(p.name for p in results.iterdir()) == [
        "scan0.csv",
        "scan0.sbd.h5",
        "scan1.csv",
        "scan1.sbd.h5",
        "summary.csv",
    ]
    with (results / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["status"]) for row in rows] == [
        ("scan0", "finished"),
        ("scan1", "finished"),
        ("broken", "failed"),
    ]
    recovery = sbd.load(results / "scan0.sbd.h5")
    assert int(rows[0]["defects"]) == len(recovery.defects)
    assert recovery.parameters.changed() == {
        "kernel_size": (9, 9),
        "types": 1,
        "starts": 1,
        "kept": 1,
        "refinements": 0,
    }
    assert re.search(r"\[3/3\] broken: FAILED: broken\.sxm is not a Nanonis scan", err)
    assert "3 images: 2 finished, 1 failed" in out
    assert re.search(r"scan0 +finished +\d+", out)


def test_all_well_is_zero_and_resume_skips(folder, capsys):
    command = ["recover", "scan0.npz", "--out", "results", *QUICK]
    assert main(command) == 0
    assert "scan0.sbd.h5, scan0.csv are in" in refused(command, capsys)
    assert main(["recover", "scan0.npz", "scan1.npz", *command[2:], "--resume"]) == 0
    err = capsys.readouterr().err
    assert "scan0: done before" in err
    assert "scan1: done before" not in err
    assert main([*command, "--overwrite"]) == 0
    assert "done before" not in capsys.readouterr().err


def test_options_reach_the_recovery(folder):
    given = [
        "--kernel-size",
        "7x9",
        "--channel",
        "Current",
        "--pixel-size",
        "0.3x0.4",
        "--activations",
        "signed",
    ]
    sbd.recover(field(1), kernel_size=9, starts=1, refinements=0).save("first")
    np.save("mask.npy", np.arange(40)[:, None] * np.ones(44) > 5)
    more = ["--start", "first.sbd.h5", "--mask", "mask.npy", "--types", "auto"]
    assert main(["recover", "scan0.npz", "--out", "results", *QUICK, *given]) == 0
    one = sbd.load("results/scan0.sbd.h5")
    assert (one.window, one.parameters.activations, one.signed) == ((7, 9), "signed", one.signed)
    assert one.source.origin["channel"] == "Current"
    assert one.observation.pixel_size == (0.3, 0.4)
    assert main(["recover", "scan0.npz", "--out", "two", "--workers", "1", "--starts", "1", *more]) == 0
    assert not sbd.load("two/scan0.sbd.h5").observation.mask[0, :6].any()


@pytest.mark.parametrize("setting", sbd.settings(), ids=lambda setting: setting.name)
def test_every_setting_is_an_option_with_its_help(setting, capsys):
    with pytest.raises(SystemExit) as end:
        main(["recover", "--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"--{setting.name.replace('_', '-')}" in text
    assert setting.help.split(".")[0][:30] in text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["recover", "scan0.npz"], "the following arguments are required: --out"),
        (
            ["recover", "scan0.npz", "--out", "o", "--starts", "0"],
            "starts must be a whole number from 1 to 64, not 0",
        ),
        (
            ["recover", "scan0.npz", "--out", "o", "--starts", "x"],
            "argument --starts: invalid number value: 'x'",
        ),
        (["recover", "scan0.npz", "--out", "o", "--kernel-size", "8xx"], "invalid number value"),
        (["recover", "scan0.npz", "--out", "o", "--pixel-size", "a"], "'a' is neither a number nor two"),
        (["recover", "scan0.npz", "--out", "o", "--recipe", "no.json"], "there is no recipe no.json"),
        (["recover", "scan0.npz", "--out", "scan1.npz"], "scan1.npz is a file: give a folder"),
        (["recover", "*.sxn", "--out", "o"], "no file is called *.sxn: check the pattern"),
        (["recover", ".", "--out", "o"], "is a folder: give files, such as"),
        (["recover", "scan0.npz", "--out", "o", "--workers", "0"], "workers must be a whole number from 1"),
        (["recover", "scan0.npz", "--out", "o", "--scheduler", "here"], "scheduler must be"),
        (["recover", "scan0.npz", "--out", "o", "--start", "no.sbd.h5"], "there is no file no.sbd.h5"),
        (["recover", "scan0.npz", "--out", "o", "--mask", "no.png"], "no.png is missing"),
        (["reocver"], "invalid choice: 'reocver'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_use_is_two_and_says_why_before_any_work(folder, capsys, given, told):
    assert told in refused(given, capsys)
    assert not (folder / "o").exists()


def test_a_card_that_is_missing_is_said_before_any_work(folder, capsys, without_cupy):
    told = refused(["recover", "scan0.npz", "--out", "o", "--device", "gpu"], capsys)
    assert "pip install 'napari-sbd[gpu]'" in told
    assert not (folder / "o").exists()


def test_info_prints_what_files_hold(folder, capsys):
    np.savez("grid.npz", dIdV=np.zeros((3, 8, 9)), energies=[-0.1, 0, 0.1])
    assert main(["info", "scan0.npz", "grid.npz"]) == 0
    out = capsys.readouterr().out
    assert "scan0.npz\n" in out
    assert re.search(r"Current +40×44 px, 8×8\.8 nm \(0\.2 nm/px\)", out)
    assert "dIdV  8×9 px, no pixel size, 3 energies from -0.1 to 0.1 V" in out
    assert main(["info", "scan0.npz", "broken.sxm", "missing.npy"]) == 1
    out, err = capsys.readouterr()
    assert "Current" in out
    assert "broken.sxm is not a Nanonis scan" in err
    assert "missing.npy" in err


def test_info_and_export_of_results(folder, capsys):
    recipe = sbd.Recipe([sbd.Step("background", {"degree": 0}), sbd.Step("lines")])
    given = {"kernel_size": 9, "starts": 1, "refinements": 0, "recipe": recipe}
    recovery = sbd.recover(field(0), pixel_size=0.2, unit="nm", name="topo", **given)
    recovery.save("one.sbd.h5")
    assert main(["info", "one.sbd.h5"]) == 0
    out = capsys.readouterr().out
    assert "prepared by background degree=0; lines\n" in out
    assert f"result for topo: {recovery.summary}" in out
    assert "settings kernel_size=(9, 9), starts=1, refinements=0" in out
    assert main(["export", "one.sbd.h5", "--out", "ex", "--formats", "csv,tiff"]) == 0
    assert sorted(p.name for p in (folder / "ex").iterdir()) == [
        "one_activation.tif",
        "one_defects.csv",
        "one_kernel.tif",
    ]
    assert (folder / "ex" / "one_defects.csv").read_text().startswith("type,row (px),col (px),y (nm)")
    assert main(["export", "one.sbd.h5", "--out", "ex", "--formats", "csv"]) == 1
    assert "already" in capsys.readouterr().err
    assert main(["export", "one.sbd.h5", "--out", "ex", "--formats", "csv", "--overwrite"]) == 0
    assert main(["export", "scan0.npz", "one.sbd.h5", "--out", "ex2", "--formats", "csv"]) == 1
    assert (folder / "ex2" / "one_defects.csv").is_file()
    assert "formats must be of" in refused(["export", "one.sbd.h5", "--out", "e", "--formats", "cvs"], capsys)


@needs_prepare
@pytest.mark.parametrize("kind", ["npz", "tiff"])
def test_prepare_writes_images_with_their_pixel_size(folder, capsys, kind):
    from napari_sbd.batch.images import read_file
    from napari_sbd.prepare.recipe import Recipe, Step

    recipe = Recipe([Step("crop", {"top": 4}), Step("background", {"degree": 1})])
    recipe.save("recipe.json")
    command = [
        "prepare",
        "scan0.npz",
        "broken.sxm",
        "--recipe",
        "recipe.json",
        "--out",
        "p",
        "--format",
        kind,
    ]
    assert main([*command, "--workers", "1"]) == 1
    assert "broken: FAILED: broken.sxm is not a Nanonis scan" in capsys.readouterr().err
    [path] = (folder / "p").iterdir()
    [channel] = read_file(path)
    expected = recipe.apply(sbd.read("scan0.npz")[0].observation())
    assert channel.data.shape == (36, 44)
    assert channel.pixel_size_nm == pytest.approx((0.2, 0.2))
    np.testing.assert_allclose(channel.data, expected.data[0], rtol=1e-6, atol=1e-6)
    assert "already" in refused(command, capsys)


@needs_prepare
def test_recover_with_a_suggested_recipe(folder):
    tilted = field(0) + 0.3 * np.arange(40)[:, None]
    np.savez("tilted.npz", Z=tilted, pixel_size_nm=0.2)
    chosen = ["scan0.npz", "tilted.npz", "--recipe", "suggest", "--workers", "1"]
    assert main(["recover", *chosen, "--out", "r", *QUICK]) == 0
    expected = sbd.suggest_recipe(tilted)
    assert [step.operation for step in expected.steps] == ["background"]
    assert sbd.Recipe.from_json(sbd.load("r/tilted.sbd.h5").recipe) == expected
    assert sbd.load("r/scan0.sbd.h5").recipe is None
    assert main(["prepare", *chosen, "--out", "p"]) == 0
    assert sbd.Recipe.load(folder / "p" / "tilted.recipe.json") == expected
    assert sbd.Recipe.load(folder / "p" / "scan0.recipe.json") == sbd.Recipe()


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such signals")
def test_interrupting_ends_with_what_is_done(folder):
    np.save("large.npy", field(0, (200, 200)))
    command = [sys.executable, "-m", "napari_sbd", "recover", "scan0.npz", "large.npy", "--out", "o"]
    options = [
        "--kernel-size",
        "9",
        "--starts",
        "64",
        "--kept",
        "64",
        "--refinements",
        "20",
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    while not (folder / "o").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "stopping: what is done stays" in err
    assert "cancelled" in out
    assert "Traceback" not in err
    assert (folder / "o" / "summary.csv").is_file()


def test_as_a_program_it_is_light():
    code = (
        "import sys; sys.argv = ['napari-sbd', '--help']\n"
        "import runpy\n"
        "try: runpy.run_module('napari_sbd', run_name='__main__')\n"
        "except SystemExit as end: print(end.code)\n"
        "heavy = {'napari', 'qtpy', 'PyQt6', 'scipy', 'pandas', 'numpy', 'dask'}\n"
        "print('loaded', *heavy & {name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "recover" in done.stdout
    assert done.stdout.endswith("0\nloaded\n")


def test_it_is_installed_as_a_command():
    import tomllib
    from importlib import import_module
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["scripts"]["napari-sbd"].partition(":")
    assert getattr(import_module(module), name) is main
