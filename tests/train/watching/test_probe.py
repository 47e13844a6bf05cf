import dataclasses
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diagonal_eval.retrieval import evaluate_retrieval
from diagonal_infra.errors import UserError
from diagonal_train.config.probe import ProbeConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.loop import set_up, train
from diagonal_train.streaming.index import open_index
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.reader import ShardReader, image_and_members
from diagonal_train.streaming.transforms import preprocess_for_eval
from diagonal_train.watching.probe import Probe, open_probe

Build = Callable[..., TrainConfig]
Read = Callable[[Path | str], list[dict[str, Any]]]
Keep = Callable[[str, list[str]], None]
RANK_PROBE = Path(__file__).parent / "rank_probe.py"


@pytest.fixture
def probed(
    tiny: Build, own_dataset: Path, keep: Keep, uids: list[str]
) -> Callable[..., TrainConfig]:
    """A function that builds `tiny` with a probe on what the filter `most` leaves out."""
    keep("rest", uids[::5])

    def build(*, samples_seen: int = 96, **changes: Any) -> TrainConfig:
        settings = {"every_steps": 4, "data": str(own_dataset), "filter": "rest"} | changes
        return tiny(data=str(own_dataset), samples_seen=samples_seen, probe=ProbeConfig(**settings))

    return build


def opened(config: TrainConfig) -> Probe:
    probe = open_probe(set_up(config, World()))
    assert probe is not None
    return probe


def test_a_run_with_probes_is_the_run_without(
    tiny: Build,
    probed: Callable[..., TrainConfig],
    own_dataset: Path,
    tmp_path: Path,
    read_metrics: Read,
) -> None:
    with_probes = probed()
    train(with_probes, World())
    without = tiny(data=str(own_dataset), samples_seen=96, run=str(tmp_path / "without"))
    train(without, World())
    lines, expected = read_metrics(with_probes.run), read_metrics(without.run)
    assert [line["loss"] for line in lines] == [line["loss"] for line in expected]
    weights = load_model(without.run).model.state_dict()
    found = load_model(with_probes.run).model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    # Every fourth step, and the last.
    assert [line["step"] for line in lines if "probe_samples" in line] == [4, 6]
    assert lines[3]["probe_samples"] == 24


def test_the_scores_are_those_of_the_evaluation(probed: Callable[..., TrainConfig]) -> None:
    config = probed(every_steps=6, samples_seen=96)
    train(config, World())
    loaded = load_model(config.run)
    index = open_index(str(config.probe.data), "rest")
    reader, decode = ShardReader(index.shards, config.stream), preprocess_for_eval(32)
    pixels, captions = [], []
    for number in range(len(index)):
        place = index.shard[number], index.offset[number], index.length[number]
        image, members = image_and_members(reader.read_alone(*map(int, place)))
        pixels.append(decode(image))
        captions.append(members["txt"].decode())
    texts = list(dict.fromkeys(captions))
    with torch.no_grad():
        images = loaded.model.encode_image(normalised(torch.from_numpy(np.stack(pixels))))
        rows = loaded.model.encode_text(loaded.tokenizer(texts))
    expected = evaluate_retrieval(images.numpy(), captions, rows.numpy(), texts)
    found = json.loads((Path(config.run) / "metrics.jsonl").read_text().splitlines()[-1])
    for k, rate in expected.image_to_text.items():
        assert found[f"probe_image_to_text_recall_at_{k}"] == rate.successes / rate.n
    for k, rate in expected.text_to_image.items():
        assert found[f"probe_text_to_image_recall_at_{k}"] == rate.successes / rate.n
    assert found["probe_zeroshot_acc1"] == expected.image_to_text[1].successes / len(captions)
    assert found["probe_texts"] == len(texts)


def test_ranks_share_the_probe_and_find_what_one_finds(
    probed: Callable[..., TrainConfig],
    keep: Keep,
    uids: list[str],
    start_ranks: Callable[..., Any],
    tmp_path: Path,
) -> None:
    # Three chunks, the last of them short: the second rank has one less.
    keep("most", uids[:16])
    keep("others", uids[16:])
    config = probed()
    arguments = [str(RANK_PROBE), str(config.probe.data), "others"]
    found = []
    for size, weights in ((1, "whole"), (2, "whole"), (2, "sharded")):
        run = str(tmp_path / f"{size}-{weights}")
        ranks = start_ranks([*arguments, run, weights], size)
        outputs = [rank.communicate(timeout=120) for rank in ranks]
        assert [rank.returncode for rank in ranks] == [0] * size, outputs
        found.append(json.loads(outputs[0][0]))
        assert found[-1].pop("probe_seconds") > 0
    assert found[0]["probe_samples"] == 90
    assert found[0] == found[1]
    averaged = {k: v for k, v in found[2].items() if k.startswith("probe_averaged")}
    assert found[0] == {k: v for k, v in found[2].items() if k not in averaged}
    for name, value in found[0].items():
        assert averaged[f"probe_averaged{name.removeprefix('probe')}"] == value


def test_classes_of_a_file_are_looked_for_in_the_captions(
    probed: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    names = tmp_path / "classes.txt"
    names.write_text("red circle\n\ngreen square\nred circle\nzebra\n")
    templates = ("a photo of a {}", "{}")
    found = opened(probed(classes=str(names), templates=templates)).run(lambda: False)
    plain = opened(probed()).run(lambda: False)
    assert found is not None
    assert plain is not None
    assert found["probe_classes"] == 3
    assert 0 < found["probe_zeroshot_samples"] < found["probe_samples"]
    assert plain["probe_zeroshot_samples"] == plain["probe_samples"] == 24
    assert plain["probe_zeroshot_acc1"] == plain["probe_image_to_text_recall_at_1"]


def test_a_probe_that_is_to_stop_does_so_between_batches(
    probed: Callable[..., TrainConfig],
) -> None:
    probe = opened(probed())
    asked: list[bool] = []

    def should_stop() -> bool:
        asked.append(True)
        return len(asked) == 2

    assert probe.run(should_stop) is None
    assert len(asked) == 2
    assert probe.job.state.model.training
    assert torch.is_grad_enabled()
    assert probe.run(lambda: False) is not None


def test_sigterm_in_a_probe_saves_and_ends_the_run(
    probed: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, read_metrics: Read
) -> None:
    scores = Probe._scores

    def interrupted(self: Probe, should_stop: Callable[[], bool]) -> dict[str, float]:
        assert threading.current_thread() is threading.main_thread()
        signal.raise_signal(signal.SIGTERM)
        return scores(self, should_stop)

    monkeypatch.setattr(Probe, "_scores", interrupted)
    config = probed(samples_seen=320)
    result = train(config, World())
    assert (result.finished, result.steps) == (False, 4)
    assert "probe_samples" not in read_metrics(config.run)[-1]
    monkeypatch.undo()
    again = train(config, World())
    assert (again.finished, again.started_at_step) == (True, 4)


def test_samples_that_cannot_be_used_are_left_out(
    probed: Callable[..., TrainConfig], own_dataset: Path
) -> None:
    whole = opened(probed()).run(lambda: False)
    (own_dataset / "shards" / "00000001.tar").write_bytes(b"")
    found = opened(probed()).run(lambda: False)
    assert whole is not None
    assert found is not None
    assert 0 < found["probe_samples"] < whole["probe_samples"]


def test_samples_that_are_trained_on_are_refused(probed: Callable[..., TrainConfig]) -> None:
    with pytest.raises(UserError, match=r"96 of the 120 probe samples are trained on"):
        opened(probed(filter=None))


def test_a_probe_needs_data_and_names(probed: Callable[..., TrainConfig], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs --probe\.data"):
        ProbeConfig(every_steps=1)
    with pytest.raises(ValueError, match=r"needs \{\} where the name goes"):
        ProbeConfig(templates=("a photo",))
    with pytest.raises(UserError, match="a text file with a name per line"):
        opened(probed(classes=str(tmp_path / "none.txt")))


def test_fewer_samples_are_spread_over_the_data(probed: Callable[..., TrainConfig]) -> None:
    numbers = opened(probed(samples=6)).samples.numbers
    assert numbers.tolist() == [0, 4, 8, 12, 16, 20]


def test_averaged_weights_are_probed_too_and_put_back(probed: Callable[..., TrainConfig]) -> None:
    probe = opened(probed())
    state = probe.job.state
    own = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    # A model of nothing but zeros tells no picture from another.
    averaged = {name: torch.zeros_like(p) for name, p in own.items()}
    probe.job = dataclasses.replace(probe.job, state=dataclasses.replace(state, averaged=averaged))
    found = probe.run(lambda: False)
    assert found is not None
    assert found["probe_averaged_image_to_text_recall_at_1"] == 0
    assert found["probe_image_to_text_recall_at_5"] > 0
    assert all(torch.equal(own[name], p) for name, p in state.model.named_parameters())
