"""StableAdamW (Wortsman et al., 2023, algorithm 2): AdamW whose step is shortened tensor by tensor.

    rms = √ mean(gradient² / max(v, ε²))     over all entries of one parameter
    lr  → lr / max(1, rms)                   of that parameter, in this step

Where the second moment `v` lags behind the gradients, which is what makes the loss of large runs
leap, rms is above 1 and the step is cut. Decays are debiased, so `v` is Adam's corrected moment.

Under FSDP2 the mean is that of the whole parameter: squares are summed over the ranks that share
it, all parameters in one collective.
"""

# pyright: reportPrivateImportUsage=false
# torch's own optimizers are built of the _foreach functions, which have no public names.

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from diagonal_train.updating.ema import local


class StableAdamW(torch.optim.Optimizer):
    """AdamW with update clipping; its state is `step`, `exp_avg` and `exp_avg_sq`, as AdamW's."""

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # torch's overloads take a closure
        """One update of all parameters that have a gradient; every rank calls it."""
        assert closure is None
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._update(parameters, group)

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        states = [self._state_of(p) for p in parameters]
        gradients = [local(p.grad) for p in parameters if p.grad is not None]
        firsts = [local(state["exp_avg"]) for state in states]
        seconds = [local(state["exp_avg_sq"]) for state in states]
        steps = [int(state["step"].item()) for state in states]
        beta1, beta2 = ([debiased(beta, step) for step in steps] for beta in group["betas"])
        torch._foreach_lerp_(firsts, gradients, [1 - beta for beta in beta1])
        torch._foreach_mul_(seconds, beta2)
        torch._foreach_addcmul_(seconds, gradients, gradients, [1 - beta for beta in beta2])

        roots = torch._foreach_sqrt(seconds)
        bounded = torch._foreach_clamp_min(roots, group["eps"])
        lengths = torch._foreach_norm(torch._foreach_div(gradients, bounded))
        del bounded  # as large as the model
        rates = [group["lr"] / rms.clamp(min=1) for rms in root_means(lengths, parameters)]

        torch._foreach_add_(roots, group["eps"])
        changes = torch._foreach_div(firsts, roots)
        values = [local(p) for p in parameters]
        torch._foreach_add_(changes, values, alpha=group["weight_decay"])
        torch._foreach_mul_(changes, rates)
        torch._foreach_sub_(values, changes)

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        state = self.state[parameter]
        if not state:
            # On the CPU: reading it must not wait for the device.
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        return state


def debiased(beta: float, step: int) -> float:
    """The decay with which a mean that starts at 0 is unbiased behind step 1, 2, …"""
    return beta * (1 - beta ** (step - 1)) / (1 - beta**step)


def root_means(
    lengths: list[Tensor] | tuple[Tensor, ...], parameters: list[Tensor]
) -> list[Tensor]:
    """Root mean squares of tensors shaped as the parameters, from norms of this rank's parts."""
    squares = list(torch._foreach_mul(lengths, lengths))
    for group, numbers in sharing_groups(parameters).items():
        sums = torch.stack([squares[number] for number in numbers])
        dist.all_reduce(sums, group=group)
        for number, value in zip(numbers, sums.unbind(), strict=True):
            squares[number] = value
    return [
        (square / max(1, p.numel())).sqrt() for square, p in zip(squares, parameters, strict=True)
    ]


def sharing_groups(parameters: list[Tensor]) -> dict[dist.ProcessGroup, list[int]]:
    """Numbers of the sharded parameters by the ranks that hold their parts."""
    found: dict[dist.ProcessGroup, list[int]] = defaultdict(list)
    for number, parameter in enumerate(parameters):
        if isinstance(parameter, DTensor):
            mesh = parameter.device_mesh
            for dim, placement in enumerate(parameter.placements):
                if placement.is_shard():
                    found[mesh.get_group(dim)].append(number)
    return found
