"""The streaming loader: shards to batches whose order is a pure function of (seed, position)."""
