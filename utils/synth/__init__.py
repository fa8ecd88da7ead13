"""Synthetic pictures, seeded: how one is drawn, a whole set on all cores, dataset.json."""
