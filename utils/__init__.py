"""Everything that is not a network: data, text, checkpoints, decoding, metrics, the reader."""
