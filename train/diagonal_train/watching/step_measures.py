"""What is measured around a logged step and costs something, hence at logged steps only.

logit_scale                what cosines are multiplied by, after the step
update_norm                length of the change of all weights
grad_norm_image, _text     length of each encoder's gradient, before clipping
logit_positive_mean, _std  of pairs that belong together, this rank's samples
logit_hardest_mean, _std   of each image's highest logit with another's caption
text_padding_share         positions of the captions that hold no token
peak_memory_bytes          the most this process ever held: on CUDA of its device, else of RAM
mfu                        model FLOPs over what the devices could do; on known GPUs only

Every rank measures, because sharded weights are summed over ranks; each step costs one wait for the
device. Shape suffixes: B samples of this rank, D embedding width, T tokens.
"""

import resource
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from diagonal_train.planning.footprint import measure
from diagonal_train.step import Job, StepStats
from diagonal_train.watching.peak_flops import PASSES_OF_A_STEP, peak_flops

MAX_LOGIT_ROWS = 1024
"""Samples of this rank whose logits with each other are looked at."""


class StepMeasures:
    """Call `before` and `after` a step on every rank; both know the weights of `job`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._before: list[Tensor] = []
        # What a tokenizer puts behind the end of a caption.
        self._padding = int(job.stream.tokenizer([""])[0, -1])
        self._peak = _peak_of(job)

    def before(self) -> None:
        """Remember the weights; costs a copy of them until `after`."""
        self._before = [p.detach().clone() for p in _trained(self._job).values()]

    @torch.no_grad()
    def after(
        self, stats: StepStats, tokens_BT: Tensor, samples_per_second: float
    ) -> dict[str, float]:
        """The measures of the step that has ended."""
        scale = _whole(self._job.state.model.logit_scale.exp())
        values = {
            "logit_scale": scale,
            **self._update_norm(),
            **_gradient_norms(self._job, stats.grad_norm),
            **_logits(stats, scale, getattr(self._job.state.model, "logit_bias", None)),
            "text_padding_share": (tokens_BT == self._padding).float().mean(),
        }
        # One transfer, not one per value.
        numbers = torch.stack([value.float().reshape(()) for value in values.values()]).tolist()
        measures = dict(zip(values, numbers, strict=True))
        measures["peak_memory_bytes"] = peak_memory_bytes(self._job.world.device)
        if self._peak is not None:
            found = measure(self._job.config)
            tokens = round(found.context_length * (1 - measures["text_padding_share"]))
            flops = PASSES_OF_A_STEP * (found.image.forward_flops + found.text_flops_at(tokens))
            measures["mfu"] = flops * samples_per_second / self._peak
        return measures

    def _update_norm(self) -> dict[str, Tensor]:
        if not self._before:
            return {}
        now = _trained(self._job).values()
        changes = [old.sub_(p.detach()) for old, p in zip(self._before, now, strict=True)]
        self._before = []
        return {"update_norm": _norm(changes)}


def peak_memory_bytes(device: torch.device) -> float:
    """The most that was allocated on a CUDA device, else the process's largest resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def encoder_of(name: str) -> str | None:
    """The encoder that a parameter of the dual encoder belongs to; None for scale and bias."""
    if "logit_" in name:
        return None
    return "image" if "visual." in name else "text"


def _trained(job: Job) -> dict[str, Tensor]:
    return {name: p for name, p in job.state.model.named_parameters() if p.requires_grad}


def _gradient_norms(job: Job, total: float) -> dict[str, Tensor]:
    """The gradients that the step left; scaled back to `total`, should they have been clipped."""
    gradients: dict[str, list[Tensor]] = {"image": [], "text": []}
    others = []
    for name, parameter in _trained(job).items():
        if parameter.grad is not None:
            gradients.get(encoder_of(name) or "", others).append(parameter.grad)
    norms = {name: _norm(found) for name, found in gradients.items() if found}
    if not norms:
        return {}
    rest = [_norm(others)] if others else []
    left = torch.stack([*norms.values(), *rest]).norm().clamp_min(1e-30)
    return {f"grad_norm_{name}": norm * (total / left) for name, norm in norms.items()}


def _logits(stats: StepStats, scale: Tensor, bias: Tensor | None) -> dict[str, Tensor]:
    if stats.features is None:
        return {}
    image_BD, text_BD = (rows.detach()[:MAX_LOGIT_ROWS].float() for rows in stats.features)
    logits_BB = scale * (image_BD @ text_BD.T)
    if bias is not None:
        logits_BB = logits_BB + _whole(bias)
    own_B = logits_BB.diagonal().clone()
    found = {
        "logit_positive_mean": own_B.mean(),
        "logit_positive_std": own_B.std(correction=0),
    }
    if len(own_B) > 1:
        hardest_B = logits_BB.fill_diagonal_(-torch.inf).amax(1)
        found["logit_hardest_mean"] = hardest_B.mean()
        found["logit_hardest_std"] = hardest_B.std(correction=0)
    return found


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    """The length of all together; weights that are sharded may stand beside others that are not."""
    sharded = [tensor for tensor in tensors if hasattr(tensor, "full_tensor")]
    plain = [tensor for tensor in tensors if not hasattr(tensor, "full_tensor")]
    norms = [_whole(get_total_norm(part)).float() for part in (sharded, plain) if part]
    return torch.stack(norms).norm()


def _whole(value: Tensor) -> Tensor:
    """A plain tensor also where the weights are sharded."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value  # pyright: ignore[reportAttributeAccessIssue]  # DTensor's


def _peak_of(job: Job) -> float | None:
    """FLOP/s of all devices of the run."""
    if job.world.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(job.world.device)
    peak = peak_flops(name, fp32=job.config.precision == "fp32")
    return None if peak is None else peak * job.world.world_size
