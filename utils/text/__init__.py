"""Texts and class ids: charsets, CTC decoding, the probability of a text."""
