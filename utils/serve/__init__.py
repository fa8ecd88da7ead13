"""The HTTP service: pictures in, texts out, many requests read together."""
