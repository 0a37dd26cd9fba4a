import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from unsmear.cli.main import main
from unsmear.errors import InputError, UnsmearError
from unsmear.models import create_model, load_model, save_model
from unsmear.models.weights import read_checkpoint
from unsmear.training.callbacks import StopWhenAsked
from unsmear.training.run import TrainingCLI, newest_checkpoint, train

pytestmark = pytest.mark.filterwarnings("ignore")


def weights_of(path):
    return torch.load(path, weights_only=False)["state_dict"]


def test_a_run_trains_validates_and_exports(folder, arguments, monkeypatch):
    monkeypatch.setattr("unsmear.training.data.CALIBRATION_PATCHES", 8)
    path = train(arguments("--recall=0.9"))
    assert load_model(path).config.embed_dim == 4
    metadata = read_checkpoint(path)[1]
    assert json.loads(metadata["unsmear.recipe"])["trainer"]["max_steps"] == 6
    assert metadata["unsmear.steps"] == "6"
    best = folder / "run" / "best.ckpt"
    for name, weight in load_model(best).state_dict().items():
        assert torch.equal(weight, weights_of(best)[f"network.{name}"])
    assert list((folder / "run" / "logs").glob("events*"))
    newest = newest_checkpoint(folder / "run" / "checkpoints")
    assert torch.load(newest, weights_only=False)["global_step"] == 6

    # A finished run that is asked to go further goes on where it was.
    further = train(arguments("--trainer.max_steps=8"))
    assert read_checkpoint(further)[1]["unsmear.steps"] == "8"


@pytest.mark.parametrize(("fast", "left_open"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_precision_left_open_follows_the_processor(
    recipe, arguments, monkeypatch, fast, left_open
):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    del recipe["trainer"]["precision"]
    assert TrainingCLI(arguments()).trainer.precision == left_open
    assert TrainingCLI(arguments("--trainer.precision=64-true")).trainer.precision == "64-true"


def test_no_more_threads_than_were_given_are_used(arguments):
    # A batch system gives some of a machine's cores: by affinity, or by OMP_NUM_THREADS.
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        TrainingCLI(arguments())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_weights_to_start_from_are_used(folder, recipe, arguments):
    start = create_model("lmdvit-tiny", **recipe["model"]["overrides"])
    recipe["model"]["init"] = str(save_model(start, folder / "start.safetensors"))
    rates = ["learning_rate", "matrix_rate"]
    still = [f"--model.optimizer.{rate}=1e-9" for rate in rates]
    trained = load_model(train(arguments("--trainer.max_steps=1", *still)))
    for name, value in start.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_stopped_within_an_epoch_ends_in_the_same_weights(folder, recipe, arguments, workers):
    recipe["data"] |= {"epoch_size": 8, "workers": workers}
    recipe["data"]["phases"] = [{"patch_size": 32, "batch_size": 2, "decisions": "sampled"}]
    recipe["model"]["overrides"]["drop_path"] = 0.3  # draws numbers, as the decisions do
    whole = train(arguments(f"--output={folder / 'whole'}"))
    for steps in (3, 6):  # of 4 an epoch
        # The schedule must be that of the whole run: it is stopped by other means than max_steps.
        stop = ["--trainer.limit_train_batches=1.0", "--checkpoint_every=3"]
        if steps == 3:
            first = subprocess.run(
                [sys.executable, "-c", KILLED_AT_3, *arguments(*stop)], capture_output=True
            )
            assert first.returncode == 9, first.stderr.decode()[-2000:]
            assert [p.name for p in (folder / "run" / "checkpoints").iterdir()] == [
                "step=00000003.ckpt"
            ]
        else:
            again = train(arguments(*stop))
    one, other = load_model(whole).state_dict(), load_model(again).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    last = "checkpoints/step=00000006.ckpt"
    one, other = (
        torch.load(folder / run / last, weights_only=False)["current_model_state"]
        for run in ("whole", "run")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


KILLED_AT_3 = """
import os, sys
from unsmear.training.callbacks import StopWhenAsked
from unsmear.training.run import train
def die(self, trainer, *_):
    if trainer.global_step == 4:
        os._exit(9)
StopWhenAsked.on_train_batch_end = die
train(sys.argv[1:])
"""


def test_a_broken_checkpoint_gives_way_to_the_one_before(folder, arguments):
    train(arguments("--checkpoint_every=3"))
    checkpoints = folder / "run" / "checkpoints"
    newest = checkpoints / "step=00000006.ckpt"
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="cannot be read"):
        assert newest_checkpoint(checkpoints) == checkpoints / "step=00000003.ckpt"
    assert newest_checkpoint(folder / "nothing") is None


def test_the_newest_checkpoint_is_the_last_one_written(tmp_path):
    parts = {"state_dict": {}, "optimizer_states": []}
    for age, step in enumerate((20, 6000, 5500)):  # a run of 6000 steps before one that began anew
        path = tmp_path / f"step={step:08d}.ckpt"
        torch.save(parts, path)
        os.utime(path, (1e9 - age, 1e9 - age))
    assert newest_checkpoint(tmp_path) == tmp_path / "step=00000020.ckpt"
    torch.save({"weights": 1}, tmp_path / "step=00000030.ckpt")
    with pytest.warns(UserWarning, match="30.ckpt cannot be read"):
        assert newest_checkpoint(tmp_path) == tmp_path / "step=00000020.ckpt"


def test_a_run_does_not_go_on_from_another_network_or_optimizer(arguments):
    train(arguments("--trainer.max_steps=1"))
    for change in ("overrides.embed_dim=8", "overrides.pruned_stages=[5]", "optimizer.name=adamw"):
        with pytest.raises(InputError, match=r"another network or optimizer.*--fresh"):
            train(arguments(f"--model.{change}"))


def begin(words):
    """The command in a session of its own."""
    settings, *more = words
    code = "import sys; from unsmear.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", settings.removeprefix("--config="), *more]
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_found_while_loading_is_one_sentence_and_the_end(recipe, arguments, workers):
    recipe["data"] |= {"workers": workers, "phases": [{"patch_size": 128, "batch_size": 2}]}
    run = begin(arguments())
    try:
        _, errors = run.communicate(timeout=120)
    finally:
        if run.returncode is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 2
    said = [line for line in errors.decode().splitlines() if "unsmear:" in line]
    assert len(said) == 1
    assert re.search(r": 128 px patch of a 96x96 px sample: ask for smaller patches$", said[0])
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(folder, arguments, recipe, number):
    """Schedulers and terminals send them to a run's whole process group, loaders included."""
    recipe["data"]["workers"] = 1
    run = begin(arguments("--trainer.max_steps=100000", "--checkpoint_every=100000"))
    deadline = time.monotonic() + 120
    while not (folder / "run" / "best.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(run.pid, number)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 128 + number
    assert "the same command goes on from there" in errors.decode()
    saved = newest_checkpoint(folder / "run" / "checkpoints")
    assert torch.load(saved, weights_only=False)["global_step"] > 0


def test_a_run_asked_to_stop_goes_on_within_its_epoch(
    folder, recipe, arguments, monkeypatch, recwarn, capfd
):
    recipe["data"] |= {"epoch_size": 10}  # 5 steps
    recipe["trainer"]["check_val_every_n_epoch"] = 1
    whole = train(arguments(f"--output={folder / 'whole'}"))

    after_step = StopWhenAsked.on_train_batch_end

    def signal_at_3(self, trainer, *others):
        if trainer.global_step == 3:
            signal.raise_signal(signal.SIGTERM)
        after_step(self, trainer, *others)

    with monkeypatch.context() as patch:
        patch.setattr(StopWhenAsked, "on_train_batch_end", signal_at_3)
        with pytest.raises(UnsmearError, match="stopped at step 3"):
            train(arguments())
    one, other = (load_model(path).state_dict() for path in (whole, train(arguments())))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not [each for each in recwarn if "not resumable" in str(each.message)]
    assert "litlogger" not in capfd.readouterr().err


@pytest.mark.parametrize("first", [3, 5])  # of 5 an epoch
def test_a_finished_run_goes_further_where_it_was(folder, recipe, arguments, first):
    recipe["data"] |= {"epoch_size": 10}
    # The schedule must be that of the longer run.
    recipe["model"]["optimizer"] |= {"final_share": 1.0}
    recipe["data"]["phases"] = [{"patch_size": 32, "batch_size": 2, "decisions": "sampled"}]
    whole = train(arguments("--trainer.max_steps=7", f"--output={folder / 'whole'}"))
    train(arguments(f"--trainer.max_steps={first}"))
    again = train(arguments("--trainer.max_steps=7"))
    one, other = (load_model(path).state_dict() for path in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_pictures_without_masks_are_judged_as_a_whole(folder, recipe, arguments):
    rng = np.random.default_rng(0)
    (folder / "pairs").mkdir()
    for kind in ("blur", "sharp"):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pairs" / f"a_{kind}.png")
    source = {"path": str(folder / "pairs"), "masks": "none"}
    recipe["data"]["validation"] = {"source": source, "samples": 1, "size": 32}
    train(arguments())
    assert (folder / "run" / "best.ckpt").is_file()


def test_steps_without_a_finite_gradient_are_skipped_and_counted(folder, arguments, monkeypatch):
    from unsmear.training import objectives

    calls = []

    def broken(restored, *rest):
        calls.append(1)
        return {"l1": restored.mean() * (float("nan") if len(calls) == 2 else 1.0)}

    monkeypatch.setattr(objectives, "reconstruction_terms", broken)
    with pytest.warns(UserWarning, match="step 1 skipped"):
        path = train(arguments("--model.loss.pruning=0"))
    assert all(value.isfinite().all() for value in load_model(path).state_dict().values())

    monkeypatch.setattr(
        objectives, "reconstruction_terms", lambda r, *_: {"l1": r.mean() * torch.nan}
    )
    with pytest.raises(UnsmearError, match="5 times in a row"):
        train(arguments("--model.loss.pruning=0", "--trainer.max_steps=20"), resume=False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model.loss.l3=1"], "l3"),
        (["--model.network=huge"], "no model 'huge'"),
        (["--trainer.max_steps=-1"], "run's length"),
        (["--data.phases=[{until: 0.5}]"], "rise to 1"),
        (["--data.phases=[{patch: 64}]"], r"^data\.phases: Option 'patch' is not accepted$"),
        (["--data.sources=[{path: x, weight: much}]"], r'^data\.sources: .*"weight".*much$'),
        (["--data.sources=[{layout: polaroid}]"], "polaroid"),
        (["--data.pool.folder=/nowhere"], "nowhere"),
        (["--recall=0"], r"share in \(0, 1\], got 0"),
        (["--recall=0.9", "--model.network=srn", "--model.overrides={}"], "no predictors"),
        (["--model.overrides={depths: 3}"], "depths is something like"),
        (["--data.epoch_size=1"], "holds no step of 2"),
        (["--data.validation.size=0"], "of 0"),
        (["--trainer.max_time=20"], "DD:HH:MM:SS"),
        (["--trainer.devices=0"], "devices"),
        (["--trainer.accumulate_grad_batches=0"], "accumulate_grad_batches=0"),
    ],
)
def test_mistakes_are_named(arguments, words, says):
    with pytest.raises(UnsmearError, match=says):
        train(arguments(*words))


def test_the_command_names_missing_and_broken_files(folder, capsys):
    assert main(["train", str(folder / "nowhere.yaml")]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err
    broken = folder / "broken.yaml"
    for content in (b"model: [", b"output: caf\xe9\n", b"", b"- one\n- two\n"):
        broken.write_bytes(content)
        assert main(["train", str(broken)]) == 2
        complaint = capsys.readouterr().err
        assert "broken.yaml" in complaint
        assert len(complaint.splitlines()) == 1
    assert main(["train", str(folder)]) == 2
    assert str(folder) in capsys.readouterr().err
    assert main(["train"]) == 2
    assert "YAML" in capsys.readouterr().err
