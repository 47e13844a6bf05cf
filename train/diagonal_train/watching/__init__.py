"""What is recorded of a run while it goes on.

recorder        decides at each step;  metrics  metrics.jsonl and the console;  trackers  the rest
prometheus      the newest record, for Prometheus to ask for
stage_clock     seconds of a step by stage;  step_measures  norms, logits, memory, MFU
peak_flops      what a device can do at most
probe           retrieval and zero-shot on held-out samples;  probe_set  which;  probe_scores
"""
