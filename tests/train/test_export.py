import hashlib
import json
import sys
from pathlib import Path

import pytest

from diagonal_infra.errors import UserError
from diagonal_train.config.export import ExportConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.export import main

FILES = {
    "hf": {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"},
    "open_clip": {"open_clip_config.json", "open_clip_model.safetensors"},
    "onnx": {"image.onnx", "text.onnx", "preprocess.json", "tokenizer.json"},
}


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.parametrize("to", FILES)
def test_a_run_is_exported_whole_and_with_weights_again_to_the_same_bytes(
    to, finished_run: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m"
    config = ExportConfig(checkpoint=finished_run.run, to=to, output=str(output))
    main(config)
    first = digests(output)
    assert {"README.md", "export.json", *FILES[to]} <= first.keys()
    assert json.loads((output / "export.json").read_bytes())["step"] == 20
    assert f"step 20 as {to}" in capsys.readouterr().out
    if to != "onnx":  # slow, and its bytes are torch's affair
        main(config)
        assert digests(output) == first
    assert list(tmp_path.iterdir()) == [output]


def test_the_card_of_a_run_has_its_loss_and_its_samples(
    finished_run: TrainConfig, tmp_path: Path, read_metrics
) -> None:
    output = str(tmp_path / "m")
    main(ExportConfig(checkpoint=finished_run.run, to="open_clip", output=output, step=10))
    lines = (tmp_path / "m" / "README.md").read_text().splitlines()
    (loss,) = (line["loss"] for line in read_metrics(finished_run.run) if line["step"] == 10)
    assert f"| loss | {loss:.4f} |" in lines
    assert "| samples seen | 160 |" in lines
    assert "| filter | most |" in lines


def test_a_missing_run_or_step_leaves_no_output(finished_run: TrainConfig, tmp_path: Path) -> None:
    for run, step in ((str(tmp_path / "none"), None), (finished_run.run, 7)):
        with pytest.raises(UserError, match=r"no (run|checkpoint)"):
            main(ExportConfig(checkpoint=run, to="hf", output=str(tmp_path / "m"), step=step))
    assert list(tmp_path.iterdir()) == []


def test_onnx_without_its_exporter_names_what_is_missing(
    finished_run: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Python itself looks at: None makes a module one that cannot be found.
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="--to onnx needs onnxscript"):
        main(ExportConfig(checkpoint=finished_run.run, to="onnx", output=str(tmp_path / "m")))
