"""Evaluate a checkpoint.

    python -m diagonal_eval demo --checkpoint out/demo/run --output out/demo/eval
    python -m diagonal_eval zeroshot --checkpoint runs/a --tasks imagenet1k wds:DIR --output out/ev
    python -m diagonal_eval zeroshot --follow runs/a --tasks vtab+ --output out/curve
    torchrun --nproc-per-node 8 -m diagonal_eval zeroshot …
    python -m diagonal_eval probe --checkpoint runs/a --tasks digits --output out/probe
    python -m diagonal_eval fine-tune --checkpoint runs/a --task digits --output out/fine

    OUTPUT/results.json    {"tasks": {NAME: {"metrics": {"acc1": …}, "n": …, "ci95": {…}}}, …}
    OUTPUT/predictions/    a Parquet file per task, a row per sample
    OUTPUT/report.html     all of it to look at; results.md, .csv, .tex and README.md beside it

Run again, it computes only what is missing: features are kept by content. `python -m
diagonal_eval.sets list` shows the tasks there are. Besides: `diagonal_eval.zeroshot classify`,
`diagonal_eval.retrieval search`, `diagonal_eval.compare`.
"""

from diagonal_infra.cli import packages_of, run_command

with packages_of("eval"):
    from diagonal_eval import demo_eval
    from diagonal_eval.config import EvalConfig
    from diagonal_eval.probes.config import FineTuneConfig, ProbeConfig
    from diagonal_eval.probes.run import run_fine_tune, run_probes
    from diagonal_eval.recipes import EVAL
    from diagonal_eval.suite.config import SuiteConfig
    from diagonal_eval.suite.follow import follow
    from diagonal_eval.suite.run import evaluate
    from diagonal_train.distributed import from_environment, in_process_group


def main(config: EvalConfig | SuiteConfig | ProbeConfig | FineTuneConfig) -> None:
    """Measure and write.

    Raises:
        UserError: no checkpoint, or no set at all.
        StorageError: nothing can be written.
        UnitError: some sets were refused; the others are done.
        CheckpointError: the model is broken.
    """
    if isinstance(config, EvalConfig):
        demo_eval.main(config)
    elif isinstance(config, ProbeConfig):
        run_probes(config)
    elif isinstance(config, FineTuneConfig):
        run_fine_tune(config)
    else:
        world = from_environment()
        run = evaluate if config.follow is None else follow
        in_process_group(world, lambda: run(config, world))


if __name__ == "__main__":
    run_command(main, EVAL, description=__doc__)
