import importlib.util
import json
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image

import napari_sbd as sbd
from napari_sbd.batch import processes, schedulers
from napari_sbd.batch.images import tasks_of
from napari_sbd.batch.plan import Plan
from napari_sbd.batch.shared_kernel import recover_with_one_kernel
from napari_sbd.io.compare import differences
from napari_sbd.layers import Source
from napari_sbd.simulate import ldos_kernel, random_field

from .dying import dying_at_one

QUICK = {"kernel_size": 9, "types": 1, "starts": 1, "kept": 1, "refinements": 0}
needs_prepare = pytest.mark.skipif(
    importlib.util.find_spec("napari_sbd.prepare") is None, reason="there is no napari_sbd.prepare yet"
)


FAST = (7, 8, 2, 3, 5, 0, 10, 11, 12, 13)  # seeds of fields that are recovered quickly


def sample(number, shape=(40, 44)):
    return random_field(ldos_kernel(9), shape, density=0.003, snr_db=25, seed=FAST[number])


def field(number, shape=(40, 44)):
    return sample(number, shape).image


def timeless(recovery):
    return replace(recovery, history=recovery.history.drop(columns="seconds"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three scans, and one that is cut off, second in order."""
    folder = tmp_path_factory.mktemp("scans")
    paths = [folder / f"scan{n}.npz" for n in range(3)]
    for seed, path in enumerate(paths):
        np.savez(path, Z=field(seed), pixel_size_nm=[0.2, 0.25])
    broken = folder / "broken.npz"
    broken.write_bytes(paths[0].read_bytes()[:3000])
    return [paths[0], broken, *paths[1:]]


@pytest.fixture(scope="module")
def by_processes(files, tmp_path_factory):
    """All of them by two processes, saved."""
    seen = []
    out = tmp_path_factory.mktemp("out") / "new" / "folder"
    progress = lambda outcome, done, count: seen.append((outcome.name, done, count))  # noqa: E731
    outcomes = sbd.recover_many(files, out=out, workers=2, progress=progress, **QUICK)
    return outcomes, out, seen


def test_processes_give_what_one_by_one_gives(files, by_processes):
    outcomes, _, seen = by_processes
    assert [outcome.name for outcome in outcomes] == ["scan0", "broken", "scan1", "scan2"]
    assert sorted(done for _, done, _ in seen) == [1, 2, 3, 4]
    assert {count for _, _, count in seen} == {4}
    for path, outcome in zip(files, outcomes, strict=True):
        if outcome.ok:
            alone = sbd.recover(sbd.read(path)[0], name=path.stem, **QUICK)
            found = outcome.recovery
            assert not differences(timeless(replace(alone, source=found.source)), timeless(found))
            assert not differences(alone.defects, found.defects)
            assert found.source.name == path.stem
            assert found.source.origin["file"] == path.name
            assert outcome.worker != f"{outcome.worker.partition(':')[0]}:{os.getpid()}"


def test_a_broken_file_is_told_and_costs_no_other(by_processes):
    outcomes, out, _ = by_processes
    [failed] = outcomes.failed
    assert failed.name == "broken"
    assert failed.message.startswith("broken.npz is no NumPy archive")
    assert failed.recovery is None
    assert outcomes.summary == "4 images: 3 finished, 1 failed"
    assert sorted(p.name for p in out.iterdir()) == [
        f"scan{n}.{end}" for n in range(3) for end in ("csv", "sbd.h5")
    ]


def test_tables_are_in_nm(by_processes):
    outcomes, out, _ = by_processes
    first = outcomes[0].recovery
    assert (out / "scan0.csv").read_text().startswith("type,row (px),col (px),y (nm),x (nm),")
    np.testing.assert_allclose(first.defects["y_nm"], 0.2 * first.defects["row"])
    table = outcomes.table
    assert table["defects"].tolist()[0] == len(first.defects)
    assert table["defects"].isna().tolist() == [False, True, False, False]
    area = 40 * 44 * 0.2 * 0.25
    assert table["density (1/nm²)"][0] == pytest.approx(len(first.defects) / area, rel=1e-4)


def test_resume_skips_the_same_file_with_the_same_settings_only(files, by_processes):
    _, out, _ = by_processes
    again = partial(sbd.recover_many, files, out=out, resume=True, workers=1)
    stamp = (out / "scan0.sbd.h5").stat().st_mtime_ns
    assert [o.status for o in again(**QUICK)] == ["skipped", "failed", "skipped", "skipped"]
    assert (out / "scan0.sbd.h5").stat().st_mtime_ns == stamp
    other = again(**QUICK | {"seed": 1})
    assert [o.status for o in other] == ["finished", "failed", "finished", "finished"]
    (out / "scan1.csv").unlink()
    np.savez(files[0], Z=field(9), pixel_size_nm=0.2)
    changed = again(**QUICK | {"seed": 1})
    assert [o.status for o in changed] == ["finished", "failed", "finished", "skipped"]
    assert changed[0].recovery.observation.pixel_size == (0.2, 0.2)


def test_nothing_is_overwritten_unless_told(tmp_path):
    (tmp_path / "image 0.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"image 0\.csv is in .* already: .*resume.*overwrite"):
        sbd.recover_many([field(0)], out=tmp_path, **QUICK)
    assert (tmp_path / "image 0.csv").read_text() == "mine"
    [outcome] = sbd.recover_many([field(0)], out=tmp_path, overwrite=True, **QUICK)
    assert outcome.ok
    assert (tmp_path / "image 0.csv").read_text() != "mine"


def test_threads_and_iteration():
    running = sbd.iter_recover_many([field(0), field(1)], scheduler="threads", workers=2, **QUICK)
    found = {outcome.name: outcome for outcome in running}
    assert set(found) == {"image 0", "image 1"}
    assert (running.done, running.total) == (2, 2)
    alone = sbd.recover(field(1), name="image 1", **QUICK)
    assert not differences(timeless(alone), timeless(found["image 1"].recovery))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sed": 1}, "unknown option 'sed': did you mean 'seed'"),
        ({"stack": "movie"}, "stack must be 'energies' or 'frames' or 'kernel', not 'movie'"),
        ({"workers": 0}, "workers must be a whole number from 1, not 0"),
        ({"scheduler": "dask"}, "scheduler must be 'processes', 'threads', the address"),
        ({"resume": True}, "resume needs the folder"),
        ({"recipe": 3}, "recipe must be a Recipe, the path of its JSON file or 'suggest', not int"),
        ({"recipe": "no.json"}, r"there is no recipe no\.json: check"),
    ],
)
def test_bad_settings_are_named_before_any_work(options, message):
    with pytest.raises((ValueError, OSError), match=message):
        sbd.iter_recover_many([np.eye(8)], **options)


@pytest.mark.parametrize("images", [[], np.eye(8), 3])
def test_what_is_not_several_images_is_refused(images):
    with pytest.raises(ValueError, match=r"images must be|there are no images"):
        sbd.recover_many(images)


def test_bad_images_are_outcomes():
    many = {
        "flat": np.ones((9, 9)),
        "text": np.array([["a"]]),
        "missing": "nowhere/missing.sxm",
        "kind": "notes.docx",
    }
    outcomes = sbd.recover_many(many, workers=1)
    assert [outcome.status for outcome in outcomes] == ["failed"] * 4
    assert "flat is constant" in outcomes[0].message
    assert "not numbers" in outcomes[1].message
    assert "missing.sxm" in outcomes[2].message
    assert "notes.docx is of a kind that is not read here" in outcomes[3].message


def test_an_unforeseen_error_is_an_outcome_too(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("napari_sbd.batch.work.api.follow", fail)
    [outcome] = sbd.recover_many([field(0)], workers=1)
    assert outcome.message == "an unexpected error, please report it: ZeroDivisionError: by zero"
    assert "in fail" in outcome.details


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_stop_ends_what_runs_and_begins_no_more(scheduler, tmp_path):
    stop = threading.Event()
    hard = {"kernel_size": 21, "starts": 64, "kept": 64}
    endless = random_field(ldos_kernel(21), (400, 400), density=0.03, snr_db=5, seed=0).image
    images = [endless] + [field(n) for n in range(1, 4)]
    running = sbd.iter_recover_many(images, scheduler=scheduler, workers=1, stop=stop, out=tmp_path, **hard)
    threading.Timer(2.0, stop.set).start()
    assert [outcome.status for outcome in running] == ["cancelled"] * 4
    assert not list(tmp_path.iterdir())


def test_closing_the_iterator_leaves_no_thread_behind():
    before = threading.active_count()
    running = sbd.iter_recover_many([field(n) for n in range(6)], scheduler="threads", workers=1, **QUICK)
    next(running)
    running.close()
    assert threading.active_count() == before


def test_a_process_that_dies_costs_no_other_result():
    jobs = {n: partial(dying_at_one, n) for n in range(3)}
    lost = lambda number, message: f"{number}: {message}"  # noqa: E731
    found = dict(schedulers.run(jobs, lost, "processes", 2, None))
    assert found[0] == 0
    assert found[2] == 20
    assert found[1].startswith("1: its process ended at once")


def test_a_script_without_a_guard_runs(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
            import numpy as np, napari_sbd as sbd
            images = [np.zeros((32, 32)), np.ones((9, 9))]
            images[0][8, 8] = images[0][20, 24] = 1
            print(sbd.recover_many(images, workers=2, scheduler="processes", **{QUICK}).summary)
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "2 images: 1 finished, 1 failed\n"


def test_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with processes._few_threads():
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with processes._few_threads():
        assert os.environ["OMP_NUM_THREADS"] == "3"


def test_first_image_is_begun_first():
    order = [o.number for o in sbd.iter_recover_many([np.ones((9, 9))] * 12, workers=1)]
    assert order == list(range(12))


def test_names_differ_on_any_system():
    given = ["a/x.sxm", "b/x.sxm", "b/x.npy", "b/X.mat", "summary.npy", "y.npy"]
    names = [task.name for task in tasks_of(given, Plan())]
    assert names == ["a_x_sxm", "b_x_sxm", "x_npy", "X_mat", "summary_npy", "y"]
    assert [t.name for t in tasks_of(["a/x.sxm", "c/a/x.sxm"], Plan())] == ["x 2", "x 3"]


def test_channels_are_chosen_by_name(tmp_path):
    path = tmp_path / "two.npz"
    np.savez(path, Current=field(0), Z=field(1)[:30, :30])
    chosen = sbd.recover_many([path], channel="z", workers=1, **QUICK)[0].recovery
    assert chosen.observation.shape == (30, 30)
    assert chosen.source.name == "two · Z"
    [outcome] = sbd.recover_many([path], channel="bias", workers=1)
    assert "has no channel 'bias': choose among Current, Z" in outcome.message


@pytest.mark.parametrize("kind", ["array", "layer", "file", "observation"])
def test_frames_have_a_result_each(kind, tmp_path):
    stack = np.stack([field(0), np.zeros((40, 44)), field(1)])
    image = stack
    if kind == "layer":
        image = Image(stack, name="movie", scale=(1, 0.2, 0.2), units=("s", "nm", "nm"))
    elif kind == "file":
        image = tmp_path / "movie.npz"
        np.savez(image, movie=stack)
    elif kind == "observation":
        image = sbd.Observation(stack, np.ones(stack.shape, bool))
        stack[1, 8, 8] = stack[1, 30, 20] = 1e-9
    outcomes = sbd.recover_many([image], stack="frames", workers=1, **QUICK)
    assert [o.frame for o in outcomes] == [0, 1, 2]
    if kind != "observation":
        assert [o.status for o in outcomes] == ["finished", "failed", "finished"]
        assert "constant" in outcomes[1].message
    alone = sbd.recover(field(1), **QUICK)
    np.testing.assert_array_equal(outcomes[2].recovery.kernels, alone.kernels)
    assert outcomes[2].name.endswith("_0002")
    if kind == "layer":
        assert outcomes[2].recovery.observation.pixel_size == pytest.approx((0.2, 0.2))


def test_energies_of_a_layer_share_their_defects():
    layer = Image(
        np.stack([field(0), -2 * field(0)]), name="grid", scale=(1, 0.2, 0.2), units=("s", "nm", "nm")
    )
    [outcome] = sbd.recover_many([layer], workers=1, **QUICK)
    assert outcome.recovery.kernels.shape[1] == 2
    assert outcome.recovery.observation.unit == "nm"


@pytest.fixture(scope="module")
def series():
    """Frames with other defects and another offset each."""
    return np.stack([field(n) + 5 * n for n in range(3)])


@pytest.fixture(scope="module")
def movie(series, tmp_path_factory):
    """Recover the series from its file, all frames with one kernel, into the folder `out` beside it."""
    folder = tmp_path_factory.mktemp("movie")
    np.save(folder / "movie.npy", series)
    options = {"stack": "kernel", "workers": 1, "out": folder / "out", **QUICK}
    return partial(sbd.recover_many, [folder / "movie.npy"], **options)


@pytest.fixture(scope="module")
def by_kernel(movie):
    return movie()


def test_a_series_shares_its_kernel(series, by_kernel):
    outcomes = by_kernel
    assert [o.name for o in outcomes] == [f"movie_000{n}" for n in range(3)]
    assert [o.status for o in outcomes] == ["finished"] * 3
    frames = outcomes.recoveries
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.kernels, frames[0].kernels)
        assert frame.observation.data.shape == (1, 40, 44)
        np.testing.assert_array_equal(frame.observation.data[0], series[number])
        assert frame.residual.std() < 0.1 * series[number].std()
        assert abs(frame.bias[0] - 5 * number) < 0.5
        truth = sample(number).positions
        found = frame.defects[["row", "col"]].to_numpy()
        near = np.linalg.norm(truth[:, None] - found[None], axis=-1).min(1)
        assert (near < 2).mean() > 0.7
    assert sbd.kernel_similarity(frames[0].kernels[0, 0], ldos_kernel(9)) > 0.97


def test_a_shared_kernel_without_a_window_given_reaches_no_second_frame(series):
    seen = sbd.observe(series[:2])
    options = {name: value for name, value in QUICK.items() if name != "kernel_size"}
    first, second = recover_with_one_kernel(seen, Source(name="movie"), **options)
    assert first.window == second.window
    assert first.extended_activations.shape[1] == 40 + first.window[0] - 1
    assert second.residual.std() < 0.3 * series[1].std()


def test_resume_of_a_series(movie, by_kernel):
    assert [o.status for o in movie(resume=True)] == ["skipped"] * 3
    by_kernel[1].saved.unlink()
    assert [o.status for o in movie(resume=True)] == ["finished"] * 3


def test_mask_and_start_are_those_of_every_image():
    mask = np.ones((40, 44), bool)
    mask[:9] = False
    kernel = ldos_kernel(9)
    outcomes = sbd.recover_many(
        [field(0), field(1)], mask=mask, start=kernel, workers=1, types=1, starts=1, refinements=0
    )
    for outcome in outcomes:
        assert not outcome.recovery.observation.mask[0, :9].any()
        assert outcome.recovery.window == (9, 9)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_pictures_are_read(tmp_path, suffix):
    from PIL import Image as Picture

    from napari_sbd.io.tiff import save_tiff

    path = tmp_path / f"topo{suffix}"
    image = field(0)
    if suffix == ".tif":
        save_tiff(image, path, (0.2, 0.25), "nm")
    else:
        Picture.fromarray(np.uint8(np.interp(image, (image.min(), image.max()), (0, 255)))).save(path)
    [outcome] = sbd.recover_many([path], workers=1, **QUICK)
    seen = outcome.recovery.observation
    assert seen.shape == (40, 44)
    if suffix == ".tif":
        assert seen.unit == "nm"
        assert seen.pixel_size == pytest.approx((0.2, 0.25))
    path.write_bytes(path.read_bytes()[:150])
    [outcome] = sbd.recover_many([path], workers=1)
    assert outcome.message.startswith(f"topo{suffix} is damaged or of another kind")


def test_a_cluster_gives_the_same(files, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as on:
        outcomes = sbd.recover_many(files[1:3], out=tmp_path, scheduler=on.scheduler_address, **QUICK)
        assert [o.status for o in outcomes] == ["failed", "finished"]
        with distributed.Client(on) as client:
            stop = threading.Event()
            stop.set()
            assert [o.status for o in sbd.recover_many([field(0)], scheduler=client, stop=stop)] == [
                "cancelled"
            ]
    alone = sbd.recover(sbd.read(files[2])[0], **QUICK)
    found = outcomes[1].recovery
    assert not differences(timeless(replace(alone, source=found.source)), timeless(found))


def test_a_cluster_without_distributed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r'pip install "napari-sbd\[cluster\]"'):
        sbd.iter_recover_many([np.eye(8)], scheduler="tcp://localhost:1")


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(schedulers, "CONNECT", 0.5)
    with pytest.raises(ConnectionError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        sbd.recover_many([np.eye(8)], scheduler="tcp://127.0.0.1:9")


@needs_prepare
@pytest.mark.parametrize("given", ["object", "file"])
def test_a_recipe_is_applied_before(tmp_path, given):
    from napari_sbd.prepare.recipe import Recipe, Step

    rows, _ = np.indices((40, 44))
    recipe = Recipe([Step("crop", {"top": 4}), Step("background", {"degree": 1})])
    path = tmp_path / "recipe.json"
    recipe.save(path)
    image = field(0) + 0.3 * rows
    [outcome] = sbd.recover_many(
        [image], recipe=recipe if given == "object" else path, workers=1, pixel_size=0.2, unit="nm", **QUICK
    )
    found = outcome.recovery
    alone = sbd.recover(recipe.apply(sbd.observe(image, pixel_size=0.2, unit="nm")), **QUICK)
    np.testing.assert_array_equal(found.kernels, alone.kernels)
    assert json.loads(found.recipe) == json.loads(recipe.to_json())
    np.testing.assert_allclose((found.source.matrix @ (0, 0, 1))[:2], (0.8, 0), atol=1e-12)


@needs_prepare
def test_a_recipe_is_suggested_for_each():
    tilted = field(0) + 0.3 * np.arange(40)[:, None]
    without, one = sbd.recover_many([field(0), tilted], recipe="suggest", workers=1, **QUICK).recoveries
    assert without.recipe is None
    assert sbd.Recipe.from_json(one.recipe) == sbd.suggest_recipe(tilted)
    assert [step["operation"] for step in json.loads(one.recipe)["steps"]] == ["background"]


def test_the_real_scan_is_recovered():
    path = Path(__file__).parents[2] / "shared" / "data" / "readers" / "Au_mica.sxm"
    if not path.is_file():
        pytest.skip("real data are not beside the project")
    [outcome] = sbd.recover_many([path], channel="Current backward", workers=1, **QUICK)
    assert outcome.ok
    assert outcome.recovery.source.name == "Au_mica · Current backward"
    assert outcome.recovery.observation.unit == "nm"
