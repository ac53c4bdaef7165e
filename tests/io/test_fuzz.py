"""A sample of the fuzz suite (`python -m benchmarks fuzz`): damaged files of every kind, each judged."""

import time
from collections import Counter

import pytest

import napari_sbd as sbd
from benchmarks.fuzz import REAL, REFUSED, SECONDS, damaged, judge
from benchmarks.small_files import FILES

SAMPLE = 60


def judged(path, truth, seeds):
    content = path.read_bytes()
    verdicts = Counter()
    for seed in seeds:
        broken, changed = damaged(content, seed)
        path.write_bytes(broken)
        began = time.perf_counter()
        verdicts[judge(path, truth, changed)] += 1
        assert time.perf_counter() - began < SECONDS, f"mutation {seed} took too long"
    return verdicts


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_give_the_error_or_a_right_image(kind, write):
    if kind in ("emd", "mrc", "ser"):
        pytest.importorskip("rsciio", reason="needs the extra microscopy")
    path, truth = write(kind)
    verdicts = judged(path, truth, range(SAMPLE))
    assert verdicts[REFUSED] >= SAMPLE / 4


@pytest.mark.parametrize("kind", REAL)
def test_damaged_real_files(kind, real, tmp_path):
    path = tmp_path / f"real{FILES[kind][0]}"
    path.write_bytes(real(REAL[kind]).read_bytes())
    truth = {channel.label: channel.data for channel in sbd.read(path)}
    assert judged(path, truth, range(1000, 1030))[REFUSED] >= 5


def test_the_judge_sees_a_shifted_image(write):
    path, truth = write("sxm")
    wrong = {label: values[::-1] for label, values in truth.items()}
    with pytest.raises(AssertionError, match="pixels are wrong"):
        judge(path, wrong, changed=12)
