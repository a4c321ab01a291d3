"""The science and the run: boards as reservoirs, with the controls that tell what the silicon did.

The package knows no wire and no web: boards reach it through :func:`asic_reservoir.registry.open_board`.
"""

__version__ = "0.1.0"
