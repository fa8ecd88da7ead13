"""Networks only: configuration, registry, backbones, neck, head and loss. Never imports `utils`."""

__version__ = "0.1.0"
