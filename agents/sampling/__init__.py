"""From worlds to batches: the batched runner, advantages, sequences, replay."""
