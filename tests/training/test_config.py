import pytest

from unsmear.errors import InputError
from unsmear.training import LossConfig, Phase, TrainConfig, load_config


def write(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_values_reach_the_dataclasses(tmp_path):
    config = load_config(
        write(
            tmp_path,
            "model: lmdvit-small\nsteps: 10\nloss: {l1: 2.0}\n"
            "phases: [{until: 0.5, patch_size: 128}, {until: 1.0, decisions: mask}]\n"
            "data: {folder: photos, synthesis: {clip: 0.0, usual_length: [2.0, 9.0]}}\n",
        )
    )
    assert config.model == "lmdvit-small"
    assert config.loss == LossConfig(l1=2.0)
    assert config.data.synthesis.usual_length == (2.0, 9.0)
    assert config.phase_at(0.2) == Phase(0.5, 128)
    assert config.phase_at(0.5).decisions == "mask"
    assert config.phase_at(1.0).decisions == "mask"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps: 1\ncolour: red", "no setting 'colour'"),
        ("steps: 1\nloss: {l3: 1}", "no setting 'l3'"),
        ("model: lmdvit", "`steps` or as `minutes`"),
        ("steps: 1\nminutes: 1", "`steps` or as `minutes`"),
        ("steps: 1\nmodel: huge", "no model"),
        ("steps: 1\nphases: [{until: 0.5}]", "rise to 1"),
        ("steps: 1\nphases: [{decisions: some}]", "decisions"),
        ("steps: [", "no valid YAML"),
        ("- 1", "must hold names"),
    ],
)
def test_mistakes_are_named(tmp_path, text, says):
    with pytest.raises(InputError, match=says):
        load_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path / "nowhere.yaml")


def test_defaults_are_the_papers():
    loss = LossConfig()
    assert (loss.l1, loss.ssim, loss.fft, loss.pruning) == (1.0, 1.0, 0.1, 0.01)
    assert TrainConfig(steps=1).phases[0].decisions == "sampled"


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(InputError, match="adamw"):
        TrainConfig(steps=1, optimizer="sgd")  # pyright: ignore[reportArgumentType]
