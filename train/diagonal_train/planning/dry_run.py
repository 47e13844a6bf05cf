"""What a run will be, before it is one: size, work, memory, steps and hours.

    python -m diagonal_train vit-l14 --dry-run

    TrainConfig ─► footprint.measure ─► tables on stdout

No data and no run folder is touched. Memory and hours are estimates: activations are those that
autograd keeps, without what the allocator and the libraries add.
"""

from dataclasses import dataclass

from rich.table import Table

from diagonal_infra import log
from diagonal_train.config.train import TrainConfig
from diagonal_train.planning.footprint import Footprint, measure

GB = 1e9
TERA = 1e12
GPUS = (("A100 80 GB", 312, 80), ("H100 80 GB", 989, 80), ("H200 141 GB", 989, 141))
"""Name, peak of dense bf16 products in TFLOP/s, and memory in GB, of the makers' data sheets."""
UTILISATIONS = (0.15, 0.3, 0.45)
"""Shares of the peak: what open_clip's runs had, a good run, and the goal on Hopper."""
RANKS = (1, 8, 64, 512)
BYTES_PER_PARAMETER = 16
"""float32 weights, gradients and AdamW's two moments."""
CHECKPOINT_BYTES_PER_PARAMETER = 12
"""The same without gradients."""
TRIMMED_TOKENS = 24
"""What is left on average of web captions cut in eight groups of like length."""
ACTIVATIONS = ("activations MB", "if recomputed MB")
"""Kept for the backward pass; the second if every block keeps its input only."""
USABLE_SHARE = 0.9
"""Of a GPU's memory, besides what the allocator loses to fragments."""


@dataclass(frozen=True, kw_only=True)
class RankMemory:
    """Estimated bytes on one of some number of ranks, each with its share of the batch at once."""

    samples: int
    state: int
    """Weights, gradients, moments, and the copies of weights in the encoders' precision."""
    loss: int
    activations: int
    checkpointed: int
    """Activations if every block is computed again."""


def dry_run(config: TrainConfig) -> None:
    """Print the tables of a run; nothing is written, downloaded or trained."""
    model = measure(config)
    for table in (
        model_table(model),
        run_table(config, model),
        memory_table(config, model),
        cost_table(config, model),
    ):
        log.STDOUT.print(table)


def rank_memory(config: TrainConfig, model: Footprint, ranks: int) -> RankMemory:
    """What one of `ranks` holds at most, with DDP's replicas and the whole share of the batch."""
    samples = config.global_batch_size // ranks
    both = (model.image, model.text)
    fixed = sum(encoder.fixed_bytes for encoder in both)
    # Embeddings and gradients of own images; texts of all ranks, gathered and joined, and their
    # gradients.
    rows = 2 * samples + (3 if ranks > 1 else 2) * config.global_batch_size
    again = samples * max(encoder.block_bytes for encoder in both)
    return RankMemory(
        samples=samples,
        state=BYTES_PER_PARAMETER * model.parameters + fixed,
        loss=4 * model.embed_dim * rows,
        activations=samples * sum(encoder.activation_bytes for encoder in both),
        checkpointed=samples * sum(encoder.checkpointed_bytes for encoder in both) + again,
    )


def largest_micro_batch(
    config: TrainConfig, model: Footprint, gpu_gb: float, *, checkpointed: bool
) -> int:
    """Samples whose activations fit beside state and loss of 8 ranks; 0 if those do not fit."""
    memory = rank_memory(config, model, 8)
    per_rank = memory.checkpointed if checkpointed else memory.activations
    room = USABLE_SHARE * gpu_gb * GB - memory.state - memory.loss
    return max(0, int(room / (per_rank / memory.samples)))


def gpu_hours(config: TrainConfig, model: Footprint, tera_flops: float, share: float) -> float:
    """Hours × GPUs of the whole run at a share of the peak; recomputed blocks are not counted."""
    samples = config.total_steps * config.global_batch_size
    return samples / samples_per_second(model, tera_flops, share) / 3600


def samples_per_second(model: Footprint, tera_flops: float, share: float) -> float:
    """Of one GPU."""
    return tera_flops * TERA * share / model.training_flops


def model_table(model: Footprint) -> Table:
    """Parameters, FLOPs and activations by encoder."""
    table = _table("model", "parameters M", "forward GFLOP", "training GFLOP", *ACTIVATIONS)
    for name, encoder in (("image encoder", model.image), ("text encoder", model.text)):
        table.add_row(
            name,
            f"{encoder.parameters / 1e6:,.1f}",
            f"{encoder.forward_flops / 1e9:,.2f}",
            f"{3 * encoder.forward_flops / 1e9:,.2f}",
            f"{encoder.activation_bytes / 1e6:,.1f}",
            f"{encoder.checkpointed_bytes / 1e6:,.1f}",
        )
    forward = model.forward_flops / 1e9
    parameters = f"{model.parameters / 1e6:,.1f}"
    table.add_row("both, per sample", parameters, f"{forward:,.2f}", f"{3 * forward:,.2f}")
    if model.causal and model.context_length > TRIMMED_TOKENS:
        text = model.text_flops_at(TRIMMED_TOKENS)
        trimmed = (model.image.forward_flops + text) / 1e9
        name = f"both, captions cut to {TRIMMED_TOKENS} of {model.context_length} tokens"
        table.add_row(name, "", f"{trimmed:,.2f}", f"{3 * trimmed:,.2f}")
    return table


def run_table(config: TrainConfig, model: Footprint) -> Table:
    """Steps, warm-up, samples and the size of a checkpoint."""
    table = _table("run", "")
    checkpoint = CHECKPOINT_BYTES_PER_PARAMETER * model.parameters / GB
    optimizer = config.optimizer
    for name, value in (
        ("steps", f"{config.total_steps:,}"),
        ("of these warm-up", f"{optimizer.warmup_steps:,}"),
        ("samples of a step", f"{config.global_batch_size:,}"),
        ("samples seen", f"{config.total_steps * config.global_batch_size:,}"),
        ("learning rate, highest", f"{optimizer.lr:g}"),
        ("loss, precision", f"{config.loss}, {config.precision}"),
        ("a checkpoint, weights and optimizer", f"{checkpoint:,.2f} GB"),
    ):
        table.add_row(name, value)
    return table


def memory_table(config: TrainConfig, model: Footprint) -> Table:
    """GB of a rank by number of ranks, and what fits into a GPU."""
    heads = ("samples", "state", "loss", "activations", "total", "total if recomputed")
    table = _table("memory of a rank, GB", *heads)
    for ranks in RANKS:
        if config.stream.lanes % ranks == 0:
            memory = rank_memory(config, model, ranks)
            held = memory.state + memory.loss
            values = (memory.state, memory.loss, memory.activations)
            totals = (held + memory.activations, held + memory.checkpointed)
            numbers = [f"{value / GB:,.2f}" for value in (*values, *totals)]
            table.add_row(
                f"{ranks} GPU" if ranks == 1 else f"{ranks} GPUs", f"{memory.samples:,}", *numbers
            )
    return table


def cost_table(config: TrainConfig, model: Footprint) -> Table:
    """Throughput and hours by GPU, and the samples that fit into its memory at a time."""
    heads = [f"GPU-hours at MFU {share:.0%}" for share in UTILISATIONS]
    table = _table("GPU, bf16 peak", *heads, "samples that fit", "if recomputed")
    for name, peak, memory in GPUS:
        cells = []
        for share in UTILISATIONS:
            rate = samples_per_second(model, peak, share)
            hours = gpu_hours(config, model, peak, share)
            cells.append(f"{hours:,.1f}\n{rate:,.0f} samples/s")
        for again in (False, True):
            cells.append(f"{largest_micro_batch(config, model, memory, checkpointed=again):,}")
        table.add_row(f"{name}\n{peak} TFLOP/s", *cells)
    return table


def _table(*heads: str) -> Table:
    table = Table()
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right")
    return table
