"""The configuration tree of the train command; recipes.py holds the named choices.

    TrainConfig (train.py)
    ├── model: ModelConfig ── vision: VisionConfig, text: TextConfig    (model.py)
    ├── stream: LoaderConfig            order, crops, reading (streaming/config.py)
    ├── augment: AugmentConfig          random changes on the device (augment.py)
    ├── optimizer: OptimizerConfig      AdamW, schedule, clipping (optimizer.py)
    ├── checkpoint: CheckpointConfig    when to save, what to keep (checkpoint.py)
    └── parallel: ParallelConfig        replicated or sharded (parallel.py)
    ├── lock: LockConfig                encoders that are not trained (lock.py)
    └── schedule: ScheduleConfig        sizes in the course of the run (schedule.py)
    └── recovery: RecoveryConfig        skips, rollbacks, hangs (recovery.py)
    ├── logging: LoggingConfig          trackers that records go to (logging.py)
    └── probe: ProbeConfig              what is asked of the model on the way (probe.py)

compare.py says which of it a run that goes on may change.
"""
