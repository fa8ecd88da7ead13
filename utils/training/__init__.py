"""What a training run is made of, besides its loop: batches, schedule, first weights, state."""
