"""Checkpoints as files for other programs, each checked against PyTorch before it is kept."""
