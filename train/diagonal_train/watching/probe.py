"""In the loop: what the model can do by now, on samples held out from training.

    chunks of samples, one rank each ─► embeddings on all ranks ─► recall@k both ways, zero-shot

Every rank calls the model equally often, as sharded weights demand; what a rank computes beyond the
last chunk is thrown away. The numbers are those of one rank at any number of ranks. Neither weights
nor random state are touched, so a run with probes is the run without them.

Shape suffixes: N samples, M distinct captions, C classes, T templates, D embedding width.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

from diagonal_infra.errors import UserError
from diagonal_train.distributed import from_all, sum_over_ranks
from diagonal_train.encoders.precision import autocast
from diagonal_train.rank_rows import RankRows
from diagonal_train.step import Job
from diagonal_train.streaming.normalise import normalised
from diagonal_train.watching.probe_scores import RECALL_AT, classes_in, share_within, wrong_above
from diagonal_train.watching.probe_set import CHUNK, ProbeSet, open_probe_set, read_class_names

ShouldStop = Callable[[], bool]


class ProbeStopped(Exception):  # noqa: N818  # not an error
    """Some rank was asked to stop."""


def open_probe(job: Job) -> "Probe | None":
    """The probe that the configuration asks for.

    Raises:
        UserError: its data cannot be used, or is trained on.
    """
    config = job.config.probe
    if config.every_steps is None:
        return None
    for name in ("encode_image", "encode_text"):
        # Otherwise FSDP gathers weights for `forward` only; does nothing to a model without it.
        register_fsdp_forward_method(job.state.model, name)
    names = None if config.classes is None else read_class_names(config.classes)
    samples = open_probe_set(
        config, job.config.stream, job.config.model.image_size, job.stream.index
    )
    return Probe(job=job, samples=samples, class_names=names)


@dataclass(kw_only=True)
class Probe:
    """Asks the model of a job, as often as the configuration says."""

    job: Job
    samples: ProbeSet
    class_names: list[str] | None

    def is_due(self, step: int) -> bool:
        """Whether to run behind so many steps."""
        every, last = self.job.config.probe.every_steps, self.job.config.total_steps
        return every is not None and (step % every == 0 or step == last)

    def run(self, should_stop: ShouldStop) -> dict[str, float] | None:
        """The scores under `probe_*`; None if some rank was asked to stop before they were there.

        Args:
            should_stop: asked between batches, on every rank.
        """
        began = time.perf_counter()
        try:
            with asking(self.job):
                scores = self._scores(should_stop)
                if self.job.state.averaged is not None:
                    with averaged_weights(self.job.state.model, self.job.state.averaged):
                        again = self._scores(should_stop)
                    scores |= {f"probe_averaged{k.removeprefix('probe')}": again[k] for k in again}
        except ProbeStopped:
            return None
        return scores | {"probe_seconds": time.perf_counter() - began}

    def _scores(self, should_stop: ShouldStop) -> dict[str, float]:
        images_ND = self._embedded(
            self.samples.num_chunks, lambda chunk: self._embed_images(chunk), should_stop
        )
        images_ND = images_ND[self._usable]
        captions = self._captions
        texts = list(dict.fromkeys(captions))
        texts_MD = self._embed_texts(texts, should_stop)
        row_of = {text: row for row, text in enumerate(texts)}
        caption_N = self._tensor([row_of[caption] for caption in captions])
        text_M = torch.arange(len(texts), device=caption_N.device)
        found = wrong_above(images_ND, texts_MD, caption_N, text_M)
        back = wrong_above(texts_MD, images_ND, text_M, caption_N)
        scores = {"probe_samples": float(len(captions)), "probe_texts": float(len(texts))}
        for name, wrong in (("image_to_text", found), ("text_to_image", back)):
            for k in RECALL_AT:
                scores[f"probe_{name}_recall_at_{k}"] = share_within(wrong, k)
        return scores | self._zeroshot(images_ND, texts, caption_N, should_stop)

    def _zeroshot(
        self, images_ND: Tensor, texts: list[str], caption_N: Tensor, should_stop: ShouldStop
    ) -> dict[str, float]:
        names, truth_N = texts, caption_N
        if self.class_names is not None:
            names = self.class_names
            classes = classes_in(self._captions, names)
            known_N = self._tensor(
                [row for row, number in enumerate(classes) if number is not None]
            )
            truth_N = self._tensor([number for number in classes if number is not None])
            images_ND = images_ND[known_N]
        scores = {"probe_zeroshot_samples": float(len(truth_N)), "probe_classes": float(len(names))}
        if not len(truth_N):
            return scores
        templates = self.job.config.probe.templates
        prompts = [t.replace("{}", name) for name in names for t in templates]
        prompts_CTD = self._embed_texts(prompts, should_stop).unflatten(0, (len(names), -1))
        classes_CD = torch.nn.functional.normalize(prompts_CTD.mean(1), dim=-1)
        class_C = torch.arange(len(names), device=truth_N.device)
        wrong_N = wrong_above(images_ND, classes_CD, truth_N, class_C)
        return scores | {
            "probe_zeroshot_acc1": share_within(wrong_N, 1),
            "probe_zeroshot_acc5": share_within(wrong_N, 5),
        }

    def _embed_images(self, chunk: int) -> Tensor:
        pixels_BCHW = self._own_chunks[chunk][0].to(self.job.world.device)
        model = self.job.config.model
        images_BCHW = normalised(pixels_BCHW, mean=model.mean, std=model.std)
        return self.job.state.model.encode_image(images_BCHW)

    def _embed_texts(self, texts: Sequence[str], should_stop: ShouldStop) -> Tensor:
        def embed(chunk: int) -> Tensor:
            tokens_BT = self.job.stream.tokenizer(list(texts[chunk * CHUNK : (chunk + 1) * CHUNK]))
            return self.job.state.model.encode_text(tokens_BT.to(self.job.world.device))

        rows_MD = self._embedded(-(-len(texts) // CHUNK), embed, should_stop)
        return rows_MD[: len(texts)]

    def _embedded(
        self, num_chunks: int, embed: Callable[[int], Tensor], should_stop: ShouldStop
    ) -> Tensor:
        """The rows of all chunks on every rank, in order; CHUNK rows each, the last filled up."""
        rounds = []
        for chunk in _rounds(self.job, num_chunks):
            self._poll(should_stop)
            rows_BD = embed(min(chunk, num_chunks - 1)).float()
            rows_KD = rows_BD.new_zeros(CHUNK, rows_BD.shape[1])
            rows_KD[: len(rows_BD)] = rows_BD
            rounds.append(RankRows.equal(CHUNK, self.job.world).gather(rows_KD))
        return torch.cat(rounds)[: num_chunks * CHUNK]

    def _poll(self, should_stop: ShouldStop) -> None:
        asked = torch.tensor(float(should_stop()), device=self.job.world.device)
        if self.job.world.world_size > 1:
            sum_over_ranks(asked)
        if asked.item():
            raise ProbeStopped

    @cached_property
    def _own_chunks(self) -> dict[int, tuple[Tensor, list[str | None]]]:
        """The chunks that this rank embeds, decoded when first asked for."""
        last = self.samples.num_chunks - 1
        own = {min(chunk, last) for chunk in _rounds(self.job, last + 1)}
        return {chunk: self.samples.read_chunk(chunk) for chunk in sorted(own)}

    @cached_property
    def _all_captions(self) -> list[str | None]:
        """Of every sample, None where it cannot be used."""
        parts: dict[int, list[str | None]] = {}
        for found in from_all({chunk: read[1] for chunk, read in self._own_chunks.items()}):
            parts |= found
        captions = [caption for chunk in sorted(parts) for caption in parts[chunk]]
        if not any(caption is not None for caption in captions):
            raise UserError(f"no sample of --probe.data {self.job.config.probe.data!r} can be used")
        return captions

    @cached_property
    def _captions(self) -> list[str]:
        return [caption for caption in self._all_captions if caption is not None]

    @cached_property
    def _usable(self) -> Tensor:
        captions = enumerate(self._all_captions)
        return self._tensor([row for row, caption in captions if caption is not None])

    def _tensor(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int64, device=self.job.world.device)


def _rounds(job: Job, num_chunks: int) -> Iterator[int]:
    """The chunks of this rank, with one beyond the last wherever another rank has one more."""
    world = job.world
    for first in range(0, num_chunks, world.world_size):
        yield first + world.rank


@contextmanager
def asking(job: Job) -> Iterator[None]:
    """The model in evaluation mode for the block, without gradients, in the run's precision."""
    model, device = job.state.model, job.world.device
    devices = [device] if device.type == "cuda" else []
    model.eval()
    try:
        # Not inference_mode: what FSDP gathers in it could not be trained on afterwards.
        with (
            torch.random.fork_rng(devices=devices),
            torch.no_grad(),
            autocast(job.config.precision, device.type),
        ):
            yield
    finally:
        _let_go(model)
        model.train()


@contextmanager
def averaged_weights(model: nn.Module, averaged: Mapping[str, Tensor]) -> Iterator[None]:
    """The model with other weights for the block; then, to the bit, with its own."""
    _let_go(model)
    own = {name: value for name, value in model.state_dict().items() if name in averaged}
    before = {name: value.clone() for name, value in own.items()}
    try:
        for name, value in own.items():
            value.copy_(averaged[name])
        yield
    finally:
        _let_go(model)
        for name, value in own.items():
            value.copy_(before[name])


def _let_go(model: nn.Module) -> None:
    """Of gathered weights: FSDP's outermost module keeps them until a backward pass."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
