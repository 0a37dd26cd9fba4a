"""The GIMP plug-in: its own half with the real command, the other over a stand-in for GIMP."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import Image

from unsmear.cli.main import main
from unsmear.models import create_model, save_model

from .programs import INTEGRATIONS, import_file

FOLDER = INTEGRATIONS / "gimp" / "unsmear-gimp"


@pytest.fixture
def deblurring(monkeypatch):
    """The half that knows nothing of GIMP."""
    monkeypatch.setitem(sys.modules, "deblurring", None)  # to be put back
    return import_file(FOLDER / "deblurring.py", "deblurring")


@pytest.fixture
def called(deblurring, monkeypatch):
    """Runs the real command in this process, and keeps how it was called."""
    calls = []

    def run(words, **settings):
        calls.append((words, settings))
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            code = main(words[1:])
        return subprocess.CompletedProcess(words, code, "", errors.getvalue())

    monkeypatch.setattr(deblurring.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(deblurring.subprocess, "run", run)
    return calls


@pytest.fixture
def photo(tmp_path):
    coarse = np.random.default_rng(0).integers(0, 256, (7, 9, 4), dtype=np.uint8)
    path = tmp_path / "in.png"
    Image.fromarray(coarse).resize((72, 56), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def wishes(deblurring, tmp_path):
    torch.manual_seed(0)
    network = create_model("lmdvit-tiny", embed_dim=4, depths=(1,) * 9, num_heads=(1,) * 9)
    path = save_model(network, tmp_path / "tiny.safetensors")
    return deblurring.Wishes(model=str(path), threshold=0.0)


def test_the_words_of_the_command(deblurring):
    wishes = deblurring.Wishes(model="saphn", threshold=0.35, strength=0.8)
    files = [Path(name) for name in ("in.png", "out.png", "out.json")]
    common = "in.png --output out.png --json out.json --quiet --model saphn --strength 0.8"
    words = deblurring.arguments(*files, wishes, None)
    assert words == [*common.split(), "--threshold", "0.35"]
    words = deblurring.arguments(*files, wishes, Path("a mask.png"))
    assert words == [*common.split(), "--mask", "a mask.png"]


def test_a_picture_is_deblurred(deblurring, called, photo, wishes, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/of/gimp")
    result = photo.with_name("out.png")
    share = deblurring.deblur(photo, result, wishes)
    before, after = (np.asarray(Image.open(path)) for path in (photo, result))
    assert 0 < share == (before != after).any(axis=2).mean()
    assert (before[..., 3] == after[..., 3]).all()
    ((words, settings),) = called
    assert words[0] == "/bin/unsmear"
    assert "PYTHONHOME" not in settings["env"]
    assert "PATH" in settings["env"]


def test_a_mask_confines_it(deblurring, called, photo, wishes):
    levels = np.zeros((56, 72), dtype=np.uint8)
    levels[10:40, 20:60] = 255
    mask, result = photo.with_name("mask.png"), photo.with_name("out.png")
    deblurring.write_grey_png(mask, 72, 56, levels.tobytes())
    assert (np.asarray(Image.open(mask)) == levels).all()
    assert deblurring.deblur(photo, result, wishes, mask) > 0
    before, after = (np.asarray(Image.open(path)) for path in (photo, result))
    changed = (before != after).any(axis=2)
    assert changed[levels > 0].any()
    assert not changed[levels == 0].any()


def test_no_blur_is_no_share(deblurring, called, photo, wishes):
    sure = wishes._replace(threshold=1.0)
    assert deblurring.deblur(photo, photo.with_name("out.png"), sure) == 0


def test_what_goes_wrong_is_one_sentence(deblurring, called, photo, wishes, monkeypatch):
    unknown = wishes._replace(model="nonsense")
    with pytest.raises(deblurring.DeblurringError, match=r"^unsmear: There is no model .*'nonsen"):
        deblurring.deblur(photo, photo.with_name("out.png"), unknown)
    monkeypatch.setattr(deblurring.shutil, "which", lambda _: None)
    with pytest.raises(deblurring.DeblurringError, match="no command 'unsmear'"):
        deblurring.deblur(photo, photo.with_name("out.png"), wishes)


def test_a_command_that_dies_silently(deblurring, photo, wishes):
    false = wishes._replace(command="false")
    with pytest.raises(deblurring.DeblurringError, match="ended with 1"):
        deblurring.deblur(photo, photo.with_name("out.png"), false)


# --- with a stand-in for GIMP, which shows the order of the calls, not that GIMP knows them ---


class Layer:
    """A layer of the stand-in: 72 x 56 pixels at (5, -3)."""

    def __init__(self, group=False):
        self.is_group = lambda: group
        self.get_width, self.get_height = lambda: 72, lambda: 56
        self.get_offsets = lambda: (True, 5, -3)
        self.get_name, self.get_parent = lambda: "photo", lambda: None
        self.moved = self.name = None

    def set_name(self, name):
        self.name = name

    def set_offsets(self, x, y):
        self.moved = (x, y)


@pytest.fixture
def gimp(deblurring, photo, monkeypatch):
    """The plug-in's module with a stand-in for GIMP that saves ``photo`` for any layer."""
    repository = MagicMock()
    names = ("Gegl", "Gimp", "GimpUi", "Gio", "GLib", "GObject")
    modules = {name: getattr(repository, name) for name in names}
    modules["Gimp"].PlugIn = type("PlugIn", (), {"__gtype__": None})
    modules["Gimp"].Layer = Layer
    Layer.new_from_drawable = MagicMock()
    modules["Gio"].File.new_for_path = Path
    modules["GLib"].Error = lambda text="": text
    modules["Gimp"].file_save = lambda mode, image, file, options: file.write_bytes(
        photo.read_bytes()
    )
    modules["Gimp"].file_load_layer.return_value = Layer()
    modules["Gimp"].Selection.is_empty.return_value = True
    monkeypatch.setitem(sys.modules, "gi", MagicMock())
    monkeypatch.setitem(sys.modules, "gi.repository", repository)
    module = import_file(FOLDER / "unsmear-gimp.py", "unsmear_gimp")
    yield module
    del Layer.new_from_drawable, sys.modules["unsmear_gimp"]


def run(gimp, wishes, layer=None):
    """Call the procedure; gives the image, and the status and error that it ended with."""
    image, procedure, config = MagicMock(), MagicMock(), MagicMock()
    image.get_item_position.return_value = 4
    image.get_selection().get_buffer().get.return_value = bytes(72 * 56)  # beside the layer
    config.get_property = lambda name: getattr(wishes, name)
    procedure.new_return_values = lambda status, error: (status, error)
    mode = gimp.Gimp.RunMode.NONINTERACTIVE
    return image, *gimp.run(procedure, mode, image, [layer or Layer()], config, None)


def test_the_result_is_a_layer_above_in_one_undo_step(gimp, called, wishes):
    image, status, error = run(gimp, wishes)
    assert (status, error) == (gimp.Gimp.PDBStatusType.SUCCESS, "")
    made = gimp.Gimp.file_load_layer.return_value
    image.insert_layer.assert_called_once_with(made, None, 4)
    assert (made.name, made.moved) == ("photo, deblurred", (5, -3))
    order = [name for name, *_ in image.method_calls]
    assert order.index("undo_group_start") < order.index("insert_layer")
    assert order.index("insert_layer") < order.index("undo_group_end")


def test_a_selection_becomes_the_mask(gimp, called, wishes):
    gimp.Gimp.Selection.is_empty.return_value = False
    buffer = MagicMock(get=MagicMock(return_value=bytes(72 * 56)))
    image = MagicMock()
    image.get_selection().get_buffer.return_value = buffer
    assert not gimp.deblur_layer(image, Layer(), wishes)  # nothing is selected of the layer
    gimp.Gegl.Rectangle.new.assert_called_once_with(5, -3, 72, 56)
    assert "--mask" in called[0][0]
    assert not image.insert_layer.called


@pytest.mark.parametrize(
    ("is_empty", "reason"),
    [(True, "no motion blur was found"), (False, "is selected of the layer")],
)
def test_why_nothing_changed(gimp, called, wishes, is_empty, reason):
    gimp.Gimp.Selection.is_empty.return_value = is_empty
    image, status, _ = run(gimp, wishes._replace(threshold=1.0))
    assert status is gimp.Gimp.PDBStatusType.SUCCESS
    assert not image.insert_layer.called
    (text,) = gimp.Gimp.message.call_args.args
    assert reason in text


def test_errors_are_given_to_gimp(gimp, called, wishes):
    image, status, error = run(gimp, wishes._replace(model="nonsense"))
    assert status is gimp.Gimp.PDBStatusType.EXECUTION_ERROR
    assert "nonsense" in error
    assert not image.insert_layer.called
    _, status, error = run(gimp, wishes, layer=Layer(group=True))
    assert (status, error) == (
        gimp.Gimp.PDBStatusType.CALLING_ERROR,
        "Choose one layer that is no group.",
    )


def test_an_undo_group_is_closed_whatever_happens(gimp, called, wishes):
    image = MagicMock()
    image.insert_layer.side_effect = RuntimeError("GIMP says no")
    with pytest.raises(RuntimeError):
        gimp.deblur_layer(image, Layer(), wishes)
    assert image.undo_group_end.called


def test_the_procedure_has_the_commands_wishes(gimp, deblurring):
    procedure = gimp.Unsmear().do_create_procedure(gimp.NAME)
    made = (
        procedure.add_double_argument.call_args_list + procedure.add_string_argument.call_args_list
    )
    assert {call.args[0] for call in made} == set(deblurring.Wishes._fields)


def test_gimps_python_needs_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import deblurring; "
        "print(sorted(name for name in sys.modules if '.' not in name and name not in before))"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(FOLDER)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(ended.stdout.replace("'", '"')))
    assert loaded - {"deblurring"} <= set(sys.stdlib_module_names)
