"""Pictures, players and sliders: what a reader gets, with and without a front end."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from PIL import Image

from cinelib import show
from cinelib.show.pictures import as_clip, as_frame
from cinelib.show.plots import pareto
from cinelib.show.style import register
from cinelib.video import read_video, write_video
from cinelib.wan.geometry import WAN_14B, Geometry


@pytest.fixture
def clip():
    """Nine frames 64x112 of one colour each, so that a frame can be told from its picture."""
    return np.stack([np.full((64, 112, 3), (25 * index, 80, 160), np.uint8) for index in range(9)])


def pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def images(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.images]


def test_contact_sheet_shows_middle_frames_and_marks_what_is_dropped(clip):
    figure = show.contact_sheet([clip, clip[0], clip[8]], ["a", "b", "c"], keep=[True, True, False])
    shown = images(figure)
    assert (shown[0] == clip[4]).all() and (shown[1] == clip[0]).all()
    assert not (shown[2] == clip[8]).all(), "a dropped take is greyed"
    assert [len(ax.lines) for ax in figure.axes] == [0, 0, 1], "and crossed out"
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b", "c"]
    assert pixels(figure).std() > 0


def test_large_frames_do_not_make_notebooks_heavy():
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    assert images(show.contact_sheet([noise]))[0].shape == (270, 480, 3)


def test_filmstrip_includes_first_last_and_marked_frames(clip):
    flow = np.zeros((8, 64, 112, 2), np.float32)
    flow[..., 0] = 3.0
    figure = show.filmstrip(clip, 3, flow=flow, marks={2: "keyframe"}, fps=16)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert titles == ["0.00 s", "keyframe, 0.12 s", "0.25 s", "0.50 s"]
    quivers = [ax.collections[0] for ax in figure.axes if ax.collections]
    assert len(quivers) == 3, "no arrow after the last frame"
    assert all((quiver.U > 0).all() and (quiver.V == 0).all() for quiver in quivers)
    with pytest.raises(ValueError, match=r"flow must be \(8, 64, 112, 2\)"):
        show.filmstrip(clip, flow=flow[:-1])


def test_before_after_shows_the_same_instants_in_each_row(clip):
    figure = show.before_after([clip, clip[:5]], ["base", "LoRA"], n=3)
    shown = images(figure)
    assert len(shown) == 6
    assert all((shown[i] == shown[i + 3]).all() for i in range(3))
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()] == ["base", "LoRA"]
    with pytest.raises(ValueError, match="1 labels for 2 rows"):
        show.before_after([clip, clip], ["base"])


def test_frames_come_from_many_things_and_nonsense_is_named(clip, tmp_path):
    path = write_video(tmp_path / "clip.mp4", clip, 16)
    assert as_clip(path).shape == clip.shape and as_clip(list(clip)).shape == clip.shape
    Image.fromarray(clip[3]).save(tmp_path / "still.png")
    assert (as_frame(tmp_path / "still.png") == clip[3]).all()
    assert (as_frame(clip[3] / 255) == clip[3]).all() and as_frame(clip[3, ..., 0]).shape == (64, 112, 3)
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        as_frame(clip[3].astype(float))
    with pytest.raises(ValueError, match=r"got \(2, 3, 4, 5, 6\)"):
        as_frame(np.zeros((2, 3, 4, 5, 6)))
    with pytest.raises(ValueError, match="at least one"):
        show.contact_sheet([])
    with pytest.raises(ValueError, match="1 titles for 2"):
        show.contact_sheet([clip, clip], ["a"])


def decoded(html: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:video/mp4;base64,([^"]+)"', html)]


def test_player_holds_the_clip_itself(clip, tmp_path):
    page = show.play({"base <b>": clip, "LoRA": write_video(tmp_path / "c.mp4", clip, 16)}).data
    videos = decoded(page)
    assert len(videos) == 2 and videos[1] == (tmp_path / "c.mp4").read_bytes()
    (tmp_path / "back.mp4").write_bytes(videos[0])
    frames, fps = read_video(tmp_path / "back.mp4")
    assert frames.shape == clip.shape and fps == 16
    assert np.abs(frames.astype(int) - clip).max() <= 6
    assert "base &lt;b&gt;" in page and "controls" in page


def test_player_keeps_within_its_size(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (9, 240, 320, 3), np.uint8)
    path = write_video(tmp_path / "noise.mp4", noise, 16)
    assert path.stat().st_size > 200_000
    (video,) = decoded(show.play(path, max_bytes=200_000).data)
    assert 0 < len(video) <= 200_000
    with pytest.raises(ValueError, match="more than 1,000"):
        show.play(noise, max_bytes=1_000)
    assert len(decoded(show.play(noise[:, :-1, :-1]).data)) == 1, "odd sizes are padded, not refused"


def test_slider_is_linked_in_the_browser_and_has_a_still(clip):
    frame = np.full((64, 112, 3), (200, 30, 30), np.uint8)
    box = show.compare_slider([clip[0], frame, show.contact_sheet([clip]), clip], list("abcd"), start=1)
    slider, stack = box.children
    assert slider.index == stack.selected_index == 1 and len(stack.children) == 4
    bundle = box._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    still = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))))
    assert np.abs(still.astype(int) - (200, 30, 30)).max() < 8, "the still is the item at `start`"
    assert len(decoded(stack.children[3].value)) == 1
    with pytest.raises(ValueError, match="1 labels for 2"):
        show.compare_slider([frame, frame], ["a"])
    with pytest.raises(ValueError, match="start 2"):
        show.compare_slider([frame, frame], ["a", "b"], start=2)


def test_pareto_is_what_no_other_beats():
    points = [(10, 0.0), (7, 0.2), (5, 0.5), (6, 0.8), (5.5, 0.0), (5.5, 0.0)]
    assert pareto(points, "lower") == {2, 4, 5}
    assert pareto([(x, -y) for x, y in points], "higher") == {2, 4, 5}
    figure = show.frontier([(str(i), *point) for i, point in enumerate(points)], xlabel="s", ylabel="LPIPS")
    assert "(lower is better)" in figure.axes[0].get_ylabel()


def test_names_of_near_points_do_not_cover_each_other():
    near = [("first-block 0.05", 1.0, 0.2), ("plain, 12 steps", 1.01, 0.201), ("TaylorSeer", 0.99, 0.199)]
    figure = show.frontier([*near, ("far", 0.2, 0.9)], xlabel="s", ylabel="LPIPS")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])


def test_curves_name_their_lines_at_the_end(clip):
    figure = show.curves({"base": [3, 2, 1], "lora": ([0, 10], [3, 0.5])}, bands={"lora": ([2, 0], [4, 1])})
    (ax,) = figure.axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[3, 2, 1], [3, 0.5]]
    assert {text.get_text() for text in ax.texts} == {"base", "lora"}
    with pytest.raises(ValueError, match="'x': x"):
        show.curves({"x": ([1, 2], [1])})


def test_intervals_draw_each_estimate_inside_its_interval():
    rows = [("base", 0.3, 0.2, 0.45), ("lora", 0.2, 0.1, 0.25)]
    figure = show.intervals({"grade": rows, "motion": rows}, reference=0.3)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["grade", "motion"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["base", "lora"]
    short = rows[:1]
    figure = show.intervals({"a": rows, "b": short, "c": rows, "d": rows, "e": rows}, columns=5)
    named = [any(label.get_text() for label in ax.get_yticklabels()) for ax in figure.axes]
    assert named == [True, True, True, False, False], "a panel whose neighbour lists other arms names its own"
    with pytest.raises(ValueError, match="does not contain"):
        show.intervals([("base", 0.5, 0.1, 0.2)])
    with pytest.raises(ValueError, match="at least one row"):
        show.intervals([])


def test_pipeline_states_the_shapes_of_both_models(clip):
    film = Geometry(WAN_14B, 720, 1280, 81)
    figure = show.pipeline({"480p": dataclasses.replace(film, height=480, width=832), "720p": film}, clip[0])
    for ax, expected in zip(figure.axes, (("32,760 × 5,120", 1), ("75,600 × 5,120", 1)), strict=True):
        texts = [text.get_text() for text in ax.texts]
        assert (expected[0], texts.count(expected[0])) == expected
        assert any("40 layers, 16.4 billion weights" in text for text in texts)
        assert len(ax.images) == 1
    assert pixels(figure).std() > 0


def test_a_notebook_shows_photographs_as_jpeg_and_drawings_as_png(clip):
    formatter = DisplayFormatter()
    register(formatter)
    photo, _ = formatter.format(show.contact_sheet([clip]))
    drawing, _ = formatter.format(show.curves({"loss": [2, 1]}))
    assert "image/jpeg" in photo and "image/png" not in photo
    assert "image/png" in drawing and "image/jpeg" not in drawing


def test_arms_keep_their_colour():
    assert show.color("LoRA", 3) == show.color("lora", 0) == show.COLORS["lora"]
    assert show.color("unknown", 1) != show.color("unknown", 2)
