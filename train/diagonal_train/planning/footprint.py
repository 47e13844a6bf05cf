"""What a model weighs and what one sample costs it, without weights and without a device.

The encoders run on fake tensors, which have shapes and types but no numbers. Products are counted
where torch dispatches them (FLOPs: two per multiplication and addition), and activations are the
storages that autograd keeps for the backward pass. Run with one and with two samples, the
difference is what a sample costs and the rest, mostly bf16 copies of the weights, is fixed.

Shape suffixes: B samples, C colours, H and W pixels, T tokens.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from torch.utils.hooks import RemovableHandle

from diagonal_train.config.model import ModelConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.encoders.models import DualEncoder, build_model


@dataclass(frozen=True, kw_only=True)
class EncoderFootprint:
    """One encoder, by sample where nothing else is said."""

    parameters: int
    """Of the encoder, its projection included."""
    forward_flops: int
    attention_flops: int
    """Of these, products of tokens with tokens, which grow with the square of their number."""
    activation_bytes: int
    """Kept for the backward pass."""
    checkpointed_bytes: int
    """The same if every block keeps its input only and is computed again."""
    block_bytes: int
    """The largest block's own activations, which are there while it is computed again."""
    fixed_bytes: int
    """Kept once, whatever the batch: copies of the weights in the encoders' precision."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Both encoders of a model."""

    image: EncoderFootprint
    text: EncoderFootprint
    parameters: int
    """Of the whole model, logit scale included."""
    embed_dim: int
    context_length: int
    causal: bool
    """Whether the text encoder gives the same for a caption without its padding."""

    @property
    def forward_flops(self) -> int:
        """Of one pair."""
        return self.image.forward_flops + self.text.forward_flops

    @property
    def training_flops(self) -> int:
        """Of one pair: the backward pass does twice the products of the forward pass."""
        return 3 * self.forward_flops

    def text_flops_at(self, tokens: int) -> int:
        """The text encoder's forward pass at a shorter length."""
        share, attention = tokens / self.context_length, self.text.attention_flops
        return round((self.text.forward_flops - attention) * share + attention * share**2)


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """A forward pass: its products, and what it kept in blocks and outside of them."""

    flops: int
    attention_flops: int
    outside: int
    inputs: int
    blocks: tuple[int, ...]

    @property
    def kept(self) -> int:
        return self.outside + sum(self.blocks)


def measure(config: TrainConfig) -> Footprint:
    """The footprint of a run's model at its own image size, context length and precision."""
    return _measure(config.model, bf16=config.precision != "fp32")


@functools.cache
def _measure(config: ModelConfig, *, bf16: bool) -> Footprint:
    with torch.device("meta"):
        model = build_model(config)
    text, image = text_parameters(model), list(model.clip.visual.parameters())
    parameters = sum(p.numel() for p in model.parameters())
    image_size, length = config.image_size, config.text.context_length
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = model.to_empty(device="cpu").train()

        def encode_image(size: int) -> Tensor:
            return model.clip.encode_image(torch.empty(size, 3, image_size, image_size))

        def encode_text(size: int) -> Tensor:
            return model.clip.encode_text(torch.zeros(size, length, dtype=torch.int64))

        return Footprint(
            image=_encoder(model, encode_image, image, bf16=bf16),
            text=_encoder(model, encode_text, text, bf16=bf16),
            parameters=parameters,
            embed_dim=config.embed_dim,
            context_length=length,
            causal=getattr(model.clip, "attn_mask", None) is not None,
        )


def text_parameters(model: DualEncoder) -> list[nn.Parameter]:
    """The text encoder's: all but the image encoder's, the logit scale and bias."""
    others = {id(p) for p in model.clip.visual.parameters()}
    return [p for p in model.clip.parameters() if id(p) not in others and p.ndim > 0]


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The repeated parts of the encoders: transformer blocks and residual blocks, outermost."""
    found: list[nn.Module] = []
    for child in model.children():
        parts = list(child.children())
        repeated = isinstance(child, nn.ModuleList | nn.Sequential) and parts
        if repeated and all(type(p) is type(parts[0]) and list(p.children()) for p in parts):
            found += parts
        else:
            found += blocks_of(child)
    return found


def _encoder(
    model: DualEncoder,
    encode: Callable[[int], Tensor],
    parameters: list[nn.Parameter],
    *,
    bf16: bool,
) -> EncoderFootprint:
    # One sample alone is laid out in other ways, so the smaller batch has two.
    two, four = (_forward(model, encode, size, bf16=bf16) for size in (2, 4))
    own = (four.kept - two.kept) // 2
    outside = (four.outside - two.outside) // 2
    blocks = [(more - less) // 2 for less, more in zip(two.blocks, four.blocks, strict=True)]
    return EncoderFootprint(
        parameters=sum(p.numel() for p in parameters),
        forward_flops=(four.flops - two.flops) // 2,
        attention_flops=(four.attention_flops - two.attention_flops) // 2,
        activation_bytes=own,
        checkpointed_bytes=outside + (four.inputs - two.inputs) // 2,
        block_bytes=max(blocks, default=0),
        fixed_bytes=max(0, two.kept - 2 * own),
    )


def _forward(
    model: DualEncoder, encode: Callable[[int], Tensor], size: int, *, bf16: bool
) -> _Pass:
    seen = {p.untyped_storage()._cdata for p in model.parameters()}
    # Bytes outside of blocks, then of each block that ran.
    kept, inputs, current = [0], [0], [0]

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            kept[current[-1]] += storage.nbytes()
        return value

    def enter(_: nn.Module, values: tuple[Any, ...]) -> None:
        inputs.append(values[0].untyped_storage().nbytes())
        current.append(len(kept))
        kept.append(0)

    def leave(*_: Any) -> None:
        current.pop()

    counter = FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU)
    kept_for_backward = torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value)
    with (
        _hooks(blocks_of(model), enter, leave),
        kept_for_backward,
        counter,
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        output = encode(size)
    del output
    by_kind = counter.get_flop_counts()["Global"]
    return _Pass(
        flops=counter.get_total_flops(),
        attention_flops=sum(n for kind, n in by_kind.items() if "attention" in str(kind)),
        outside=kept[0],
        inputs=sum(inputs),
        blocks=tuple(kept[1:]),
    )


@contextmanager
def _hooks(
    blocks: list[nn.Module], enter: Callable[..., None], leave: Callable[..., None]
) -> Iterator[None]:
    handles: list[RemovableHandle] = []
    for block in blocks:
        handles += [block.register_forward_pre_hook(enter), block.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _attention_flops(
    query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any
) -> int:
    return sdpa_flop_count(query, key, value)


ATTENTION_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
}
"""torch counts attention on other devices only."""
