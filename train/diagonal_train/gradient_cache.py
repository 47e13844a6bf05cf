"""The gradients of a batch whose activations do not fit, exact, a part at a time.

    every part ─► embeddings, no graph ─► loss over all ranks ─► gradients of embeddings and scale
    every part again, with its graph ─► backward from its embeddings' gradients

(Gao et al., 2021, GradCache.) The second pass repeats the first with the same random numbers, so
the chain rule gives the gradients of one big batch, for twice the forward work. The scale and the
bias take part in the last backward only: their gradients enter once. Ranks exchange gradients in
that one, too.

Shape suffixes: B samples of this rank, D embedding width.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from diagonal_train.watching.stage_clock import StageClock

Embed = Callable[[int], tuple[Tensor, ...]]
"""Image embeddings, text embeddings, scale and, if there is one, bias of a part; the same numbers
each time."""
LossOf = Callable[..., Tensor]


def backward(
    embed: Embed, parts: int, loss_of: LossOf, replica: nn.Module, clock: StageClock
) -> Tensor:
    """This rank's loss; the gradients are added to those of the replica's parameters.

    One part is embedded once, with its graph.
    """
    if parts > 1:
        return _backward_by_parts(embed, parts, loss_of, replica, clock)
    outputs = embed(0)
    with clock.stage("loss"):
        loss = loss_of(*outputs)
    with clock.stage("backward"):
        loss.backward()
    return loss.detach()


def _backward_by_parts(
    embed: Embed, parts: int, loss_of: LossOf, replica: nn.Module, clock: StageClock
) -> Tensor:
    with torch.no_grad():
        outputs = [embed(part) for part in range(parts)]
    sizes = [len(image_BD) for image_BD, *_ in outputs]
    images, texts = zip(*(output[:2] for output in outputs), strict=True)
    leaves = [torch.cat(images), torch.cat(texts), *outputs[-1][2:]]
    del outputs, images, texts
    with clock.stage("loss"):
        leaves = [leaf.requires_grad_() for leaf in leaves]
        loss = loss_of(*leaves)
        of_images_BD, of_texts_BD, *of_others = torch.autograd.grad(loss, leaves)
    by_part = zip(of_images_BD.split(sizes), of_texts_BD.split(sizes), strict=True)
    for part, gradients in enumerate(by_part):
        last = part == parts - 1
        with _agreeing(replica, on=last):
            outputs = embed(part)
            with clock.stage("backward"):
                taken = [*gradients, *of_others] if last else [*gradients]
                torch.autograd.backward(outputs[: len(taken)], taken)
    return loss.detach()


def _agreeing(replica: nn.Module, *, on: bool) -> AbstractContextManager[None]:
    """Whether backward passes inside exchange gradients with other ranks."""
    if on:
        return nullcontext()
    if hasattr(replica, "set_requires_gradient_sync"):
        return _kept_sharded(replica)
    if isinstance(replica, nn.parallel.DistributedDataParallel):
        return replica.no_sync()
    return nullcontext()


@contextmanager
def _kept_sharded(replica: nn.Module) -> Iterator[None]:
    """The same for FSDP2, whose modules have a switch for it."""
    switch: Callable[[bool], None] = getattr(replica, "set_requires_gradient_sync")  # noqa: B009  # no static type has it
    switch(False)
    try:
        yield
    finally:
        switch(True)
