"""What a run says of itself at each step: its records, its probes, its line on the console.

    before a step ─► train_step ─► after it: rates, measures, probe ─► metrics.jsonl, trackers

The loop calls `before` and `after` on every rank; the first writes. Apart from the bar nothing is
done, and the device is waited for by nothing, at a step that is not logged.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from diagonal_train.step import Job, StepStats
from diagonal_train.streaming.batch import Batch
from diagonal_train.watching.metrics import Clock, Console, MetricsLog, NoMetrics, console
from diagonal_train.watching.probe import open_probe
from diagonal_train.watching.step_measures import StepMeasures
from diagonal_train.watching.trackers import trackers_for


class Recorder:
    """Records the steps of a job; made by `recording`."""

    def __init__(self, job: Job, shown: Console, step: int) -> None:
        config = job.config
        self._job, self._console = job, shown
        self._measures, self._probe = StepMeasures(job), open_probe(job)
        self._replaced: Counter[str] = Counter()
        self._metrics = NoMetrics()
        if job.world.is_main:
            self._metrics = MetricsLog(config.run, step, trackers_for(config, step))
        self.clock = Clock(since=time.perf_counter())

    def before(self, step: int) -> None:
        """Called before the step that follows `step` steps."""
        if self._is_measured(step + 1):
            self._measures.before()

    def after(
        self,
        step: int,
        batch: Batch,
        stats: StepStats,
        *,
        anyway: bool,
        should_stop: Callable[[], bool],
        more: Mapping[str, float] | None = None,
    ) -> bool:
        """Called behind `step` steps; whether some rank was asked to stop during the probe.

        Args:
            step: steps done.
            batch: of the last of them.
            stats: what it gave.
            anyway: record it though it is not due, as a last or a skipped one; alike on all ranks.
            should_stop: asked between batches of the probe.
            more: further fields of the record.
        """
        self.clock.count(self._job.config.global_batch_size, stats.seconds)
        self._replaced += stats.replaced
        self._console.show(step, stats.loss)
        if not (anyway or self.is_due(step)):
            return False
        rates = self.clock.rates()
        record = {**self._record(step, stats), **rates, **(more or {})}
        if self._is_measured(step):
            record |= self._measures.after(stats, batch.tokens, rates["samples_per_second"])
        probed: dict[str, float] | None = {}
        if self._probe is not None and self._probe.is_due(step) and not stats.stop:
            with self.clock.stopped():
                probed = self._probe.run(should_stop)
        self._metrics.write(record | (probed or {}))
        self._console.record(record, line=self._is_measured(step))
        return probed is None

    def flush(self) -> None:
        """Have all lines in the run folder, before a checkpoint claims their steps."""
        self._metrics.flush()

    def close(self) -> None:
        """Write out what is buffered."""
        self._metrics.close()

    def is_due(self, step: int) -> bool:
        """Whether a record is written behind so many steps, whatever happens in them."""
        config = self._job.config
        logged = step % config.log_every_steps == 0 or step == config.total_steps
        return logged or (self._probe is not None and self._probe.is_due(step))

    def _is_measured(self, step: int) -> bool:
        every = self._job.config.logging.measure_every_steps
        return self.is_due(step) and (step % every == 0 or step == self._job.config.total_steps)

    def _record(self, step: int, stats: StepStats) -> dict[str, float]:
        replaced, self._replaced = self._replaced, Counter()
        return {
            "step": step,
            "samples_seen": step * self._job.config.global_batch_size,
            "loss": stats.loss,
            **stats.parts,
            "lr": stats.lr,
            "grad_norm": stats.grad_norm,
            "duplicate_captions": stats.duplicate_captions,
            "replaced": replaced.total(),
            **{f"replaced_{cause}": count for cause, count in sorted(replaced.items())},
        }


@contextmanager
def recording(job: Job, step: int) -> Iterator[Recorder]:
    """A recorder of a job that has done `step` steps."""
    world, total = job.world, job.config.total_steps
    with console(show=world.is_main, total=total, completed=step) as shown:
        recorder = Recorder(job, shown, step)
        try:
            yield recorder
        finally:
            recorder.close()
