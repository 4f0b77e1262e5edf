"""Rate control: limits are kept whatever the sizes do, the best file made is returned, few files are made."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from stub_coder import HEIGHT, PICTURE, STEADY, WIDTH, StubCoder, bpp

import vqcodec
from vqcodec.choices import DEFAULT_EFFORT, DEFAULT_QUALITY
from vqcodec.codec import Codec
from vqcodec.errors import InputError, SettingsError, TargetError, VqcWarning
from vqcodec.evaluation import metrics
from vqcodec.exact.bitstream import container
from vqcodec.goals import QUALITIES, Goal, Trial
from vqcodec.image import Picture
from vqcodec.rate_control import EXPENSIVE_EFFORT, MAX_EXPENSIVE, MAX_SCOUTS, SCOUT_EFFORT, max_trials, seek


def jittered(seed: int) -> list[int]:
    """Sizes that mostly rise with the quality, with steps back of up to two half steps."""
    random = np.random.default_rng(seed)
    return [round(size * factor) for size, factor in zip(STEADY, random.uniform(0.985, 1.015, 199), strict=True)]


LIMITS = sorted({*range(400, STEADY[-1] + 500, 61), *(size + by for size in STEADY for by in (-1, 0, 1))} - {399})


def test_highest_quality_within_every_limit() -> None:
    coder = StubCoder()
    for limit in LIMITS:
        found = coder.seek(Goal(max_bytes=limit))
        assert found.quality == max(q for q, size in zip(QUALITIES, STEADY, strict=True) if size <= limit)
        assert found.effort == DEFAULT_EFFORT and not found.notes
        assert coder.count(SCOUT_EFFORT) <= MAX_SCOUTS and coder.count(DEFAULT_EFFORT) <= 3


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("effort", [DEFAULT_EFFORT, 9])
def test_limits_are_kept_and_the_best_file_made_is_returned(seed: int, effort: int) -> None:
    coder = StubCoder(jittered(seed), saved=0.005)
    for limit in LIMITS[40::7]:
        found = coder.seek(Goal(max_bytes=limit), effort)
        assert len(found.data) <= limit
        made = [(e == effort, q) for q, e, *_ in coder.made if coder.size_bytes(QUALITIES.index(q), e) <= limit]
        assert (found.effort == effort, found.quality) == max(made)
        found = coder.seek(Goal(target_bpp=bpp(limit)), effort)
        assert len(found.data) <= 1.005 * limit


@pytest.mark.parametrize("saved", [-0.04, 0.04])
def test_few_files_of_the_wanted_effort_are_made(saved: float) -> None:
    coder, counts = StubCoder(saved=saved), []
    for limit in LIMITS[::9]:
        coder.seek(Goal(target_bpp=bpp(limit)))
        counts.append(coder.count(DEFAULT_EFFORT))
    for place in range(0, len(QUALITIES), 3):
        coder.seek(Goal(target_psnr_db=coder.psnr_db(place)))
        counts.append(coder.count(DEFAULT_EFFORT))
    assert max(counts) <= 5 and np.mean(counts) < 3


def test_steps_in_the_sizes_are_found_too() -> None:
    """Where no line leads to the boundary, halving does."""
    sizes = [500 + 4000 * (place > 37) + 3000 * (place > 160) + place for place in range(len(QUALITIES))]
    coder = StubCoder(sizes)
    for limit, place in ((3000, 37), (6000, 160), (4600, 100), (537, 37), (538, 37)):
        assert coder.seek(Goal(max_bytes=limit)).quality == QUALITIES[place]


def test_nearest_size_to_every_target() -> None:
    coder = StubCoder()
    for target in LIMITS:
        found = coder.seek(Goal(target_bpp=bpp(target)))
        allowed = [size for size in STEADY if size <= 1.005 * target]
        assert len(found.data) == min(allowed, key=lambda size: abs(size - target))
    assert coder.seek(Goal(target_bpp=1000)).quality == 100


def test_smallest_file_of_every_psnr() -> None:
    coder = StubCoder()
    for place in range(len(QUALITIES)):
        assert coder.seek(Goal(target_psnr_db=coder.psnr_db(place))).quality == QUALITIES[place]
        found = coder.seek(Goal(target_psnr_db=coder.psnr_db(place) - 0.001))
        assert found.score == pytest.approx(coder.psnr_db(place))


@pytest.mark.parametrize("effort", [DEFAULT_EFFORT, 9])
def test_what_cannot_be_reached_says_what_can(effort: int) -> None:
    coder = StubCoder(saved=0.01)
    smallest = coder.size_bytes(0, effort)
    with pytest.raises(TargetError, match=f"within {smallest - 1} bytes; the smallest file has {smallest} bytes"):
        coder.seek(Goal(max_bytes=smallest - 1), effort)
    assert coder.seek(Goal(max_bytes=smallest), effort).quality == 1
    with pytest.raises(TargetError, match=f"within 0.5 bits per pixel; the smallest .*{smallest} bytes") as error:
        coder.seek(Goal(target_bpp=0.5), effort)
    assert coder.seek(Goal(target_bpp=float(str(error.value).split()[-3])), effort).quality == 1
    with pytest.raises(TargetError, match=f"within {smallest - 1} bytes; the smallest file has {smallest}"):
        coder.seek(Goal(quality=20, max_bytes=smallest - 1), effort)
    with pytest.raises(TargetError, match=r"a PSNR of 80 dB; the highest is .* dB") as error:
        coder.seek(Goal(target_psnr_db=80), effort)
    assert coder.seek(Goal(target_psnr_db=float(str(error.value).split()[-2])), effort).quality == 100


def test_a_quality_is_lowered_only_where_the_limit_needs_it() -> None:
    coder = StubCoder()
    found = coder.seek(Goal(quality=80, max_bytes=STEADY[-1]))
    assert len(coder.made) == 1 and found == Trial(80, DEFAULT_EFFORT, coder.compress(PICTURE, 80, DEFAULT_EFFORT))
    for limit in LIMITS[:-60:20]:
        found = coder.seek(Goal(quality=80, max_bytes=limit))
        assert found.quality == min(80, coder.seek(Goal(max_bytes=limit)).quality)
        assert bool(found.notes) == (found.quality < 80)
    assert found.notes == () and coder.seek(Goal(quality=80, max_bytes=500)).notes == (
        "the quality is lower than asked for, to keep within 500 bytes",
    )
    with pytest.raises(TargetError, match="smallest file has 400 bytes"):
        coder.seek(Goal(quality=1, max_bytes=399))


def test_a_limit_comes_before_a_target() -> None:
    coder = StubCoder()
    wanted_db = coder.psnr_db(100)
    assert coder.seek(Goal(target_psnr_db=wanted_db, max_bytes=STEADY[100])).notes == ()
    found = coder.seek(Goal(target_psnr_db=wanted_db, max_bytes=STEADY[100] - 1))
    assert found.quality == QUALITIES[99]
    assert found.notes == (f"the quality is lower than asked for, to keep within {STEADY[100] - 1:,} bytes",)
    assert coder.seek(Goal(target_bpp=bpp(STEADY[100]), max_bytes=STEADY[90])).quality == QUALITIES[90]
    assert coder.seek(Goal(target_bpp=bpp(STEADY[90]), max_bytes=STEADY[100])).quality == QUALITIES[90]
    with pytest.raises(TargetError, match="within 300 bytes"):
        coder.seek(Goal(target_bpp=5, max_bytes=300))


@pytest.mark.parametrize("effort", range(EXPENSIVE_EFFORT, 10))
def test_an_expensive_effort_uses_the_room_that_it_frees(effort: int) -> None:
    coder = StubCoder(saved=0.007)
    for limit in LIMITS[3::11]:
        found = coder.seek(Goal(max_bytes=limit), effort)
        sizes = [coder.size_bytes(place, effort) for place in range(len(QUALITIES))]
        assert found.quality == max(q for q, size in zip(QUALITIES, sizes, strict=True) if size <= limit)
        assert found.effort == effort
        assert coder.count(effort) <= MAX_EXPENSIVE
        assert {e for _, e, *_ in coder.made} == {effort, SCOUT_EFFORT}
    assert coder.seek(Goal(target_psnr_db=coder.psnr_db(60)), effort).quality == QUALITIES[60]


def test_an_effort_that_fits_nowhere_leaves_the_first_one() -> None:
    coder = StubCoder(saved=-0.05)
    found = coder.seek(Goal(max_bytes=420), 9)
    assert found.effort == SCOUT_EFFORT and len(found.data) <= 420


def test_without_a_limit_one_file_is_made() -> None:
    coder = StubCoder()
    assert coder.seek(Goal()).quality == DEFAULT_QUALITY
    assert coder.seek(Goal(33.3), 9) == Trial(33.5, 9, coder.compress(PICTURE, 33.5, 9))
    assert max_trials(Goal(), 9) == max_trials(Goal(20), 5) == 1


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (lambda: Goal(quality=5, target_bpp=1), "exclude one another"),
        (lambda: Goal(quality=5, target_psnr_db=1), "exclude one another"),
        (lambda: Goal(target_bpp=1, target_psnr_db=1, max_bytes=9), "exclude one another"),
        (lambda: Goal(quality=100.5), "quality 100.5 is outside 1..100"),
        (lambda: Goal(quality=math.nan), "outside 1..100"),
        (lambda: Goal(max_bytes=0), "max bytes of 0 makes no sense"),
        (lambda: Goal(target_bpp=-1), "target bpp of -1 makes no sense"),
        (lambda: Goal(target_bpp=math.nan), "makes no sense"),
        (lambda: Goal(target_psnr_db=math.inf), "makes no sense"),
        (lambda: Goal(target_ssimulacra2=0), "target ssimulacra2 of 0 makes no sense"),
        (lambda: Goal(target_ssimulacra2=50, target_psnr_db=30), "exclude one another"),
        (lambda: Goal(quality=5, target_ssimulacra2=50), "exclude one another"),
        (lambda: Goal(max_bytes=10**400), r"max bytes above 1e\+20 makes no sense"),
        (lambda: Goal(max_bytes=-(10**400)), "max bytes of .* makes no sense"),
        (lambda: Goal(target_bpp=1e300), "target bpp above"),
        (lambda: Goal(target_bpp=5e-324), "target bpp of 4.94066e-324 makes no sense; give a larger number"),
    ],
)
def test_goals_that_make_no_sense(goal: Callable[[], Goal], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        goal()


def test_every_goal_that_makes_sense_can_be_sought() -> None:
    coder = StubCoder()
    assert coder.seek(Goal(max_bytes=sys.maxsize)).quality == coder.seek(Goal(target_bpp=1e20)).quality == 100
    assert coder.seek(Goal(target_psnr_db=1e-9)).quality == 1
    for goal in (Goal(max_bytes=1), Goal(target_bpp=1e-9), Goal(target_psnr_db=1e20)):
        with pytest.raises(TargetError):
            coder.seek(goal)


def test_what_nobody_sees_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    coder, alpha = StubCoder(), np.repeat(np.uint8([[255], [0]]), HEIGHT // 2, axis=0).repeat(WIDTH, axis=1)
    filled, decoded = np.where(alpha[..., None], np.uint8(0), np.uint8([90, 90, 90])), coder.decompress
    monkeypatch.setattr(coder, "decompress", lambda data: Picture(decoded(data).pixels, alpha=alpha))
    found = seek(coder, Picture(filled, alpha=alpha), Goal(target_psnr_db=coder.psnr_db(120)))
    assert found.quality == QUALITIES[120] and found.score == pytest.approx(coder.psnr_db(120))


def test_python_interface(tiny_model: Path, tiny_codec: Codec, pixels: npt.NDArray[np.uint8]) -> None:
    whole = len(vqcodec.compress(pixels, 20, tiny_model))
    data = vqcodec.compress(pixels, model=tiny_codec, max_bytes=whole)
    assert len(data) <= whole and container.read(data).header.quality >= 19  # q 19.5 takes a byte more than 20
    data = vqcodec.compress(pixels, model=tiny_codec, target_bpp=8 * whole / (101 * 70))
    assert 0.97 * whole < len(data) <= 1.005 * whole
    wanted_db = metrics.psnr(pixels, tiny_codec.decompress(vqcodec.compress(pixels, 20, tiny_codec)).pixels) - 0.2
    data = vqcodec.compress(pixels, model=tiny_codec, effort=3, target_psnr=wanted_db)
    assert metrics.psnr(pixels, np.asarray(vqcodec.decompress(data, tiny_codec))) >= wanted_db
    assert len(data) <= whole
    with pytest.raises(TargetError, match="a PSNR of 90 dB"):
        vqcodec.compress(pixels, model=tiny_codec, target_psnr=90)
    smooth = np.tile(np.linspace(60, 140, 101).astype(np.uint8)[None, :, None], (70, 1, 3))
    data = vqcodec.compress(smooth, model=tiny_codec, target_ssimulacra2=70)
    assert metrics.load("ssimulacra2")(smooth, np.asarray(vqcodec.decompress(data, tiny_codec).convert("RGB"))) >= 70
    with pytest.raises(
        TargetError, match=r"no quality reaches a SSIMULACRA 2 of 99.5; the highest is SSIMULACRA 2 \S+$"
    ):
        vqcodec.compress(pixels, model=tiny_codec, target_ssimulacra2=99.5)
    with pytest.raises(InputError, match="a side below 8 pixels has no SSIMULACRA 2"):
        vqcodec.compress(pixels[:7], model=tiny_codec, target_ssimulacra2=50)
    with pytest.warns(VqcWarning, match="lower than asked for"):
        vqcodec.compress(pixels, 60, tiny_codec, max_bytes=whole)
    with pytest.raises(SettingsError, match="exclude"):
        vqcodec.compress(pixels, 60, tiny_codec, target_bpp=1)


def test_the_profile_counts(tiny_codec: Codec, pixels: npt.NDArray[np.uint8]) -> None:
    profile = np.random.default_rng(1).bytes(500)
    limit = len(tiny_codec.compress(Picture(pixels, profile), 20))
    found = seek(tiny_codec, Picture(pixels, profile), Goal(max_bytes=limit))
    assert len(found.data) <= limit and container.read(found.data).icc == profile
    with pytest.raises(TargetError, match="the smallest file has"):
        seek(tiny_codec, Picture(pixels, profile), Goal(max_bytes=500))


def test_half_the_size_only_where_no_quality_of_the_whole_is_small_enough() -> None:
    coder = StubCoder()
    coder.half_share = 0.3
    smallest = coder.size_bytes(0)
    assert not coder.seek(Goal(max_bytes=smallest)).is_halved
    for goal in (Goal(max_bytes=smallest - 1), Goal(target_bpp=bpp(smallest - 10)), Goal(60, max_bytes=smallest - 1)):
        found = coder.seek(goal)
        assert found.is_halved
        assert any("half the width and height" in note for note in found.notes)
        nearest = [place for place in range(len(QUALITIES)) if int(0.3 * coder.size_bytes(place)) < smallest]
        assert abs(QUALITIES.index(found.quality) - nearest[-1]) < 4
        assert len(found.data) < smallest
    low = coder.seek(Goal(1, max_bytes=smallest - 1))
    assert low.is_halved and low.quality > 1 and len(low.notes) == 1, "a higher quality of the half is no lower one"
    with pytest.raises(TargetError, match=str(int(0.3 * smallest))):
        coder.seek(Goal(max_bytes=50))
    assert not coder.seek(Goal(target_psnr_db=coder.psnr_db(0))).is_halved


def test_half_the_size_where_it_is_asked_for() -> None:
    coder = StubCoder()
    coder.half_share = 0.3
    for goal in (Goal(), Goal(20), Goal(max_bytes=1000), Goal(target_psnr_db=coder.psnr_db(60))):
        found = coder.seek(goal, half=True)
        assert found.is_halved and not found.notes
        assert all(half for *_, half in coder.made)
