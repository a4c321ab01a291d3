"""Commands of ``asic-reservoir``, one module each, found through entry points."""
