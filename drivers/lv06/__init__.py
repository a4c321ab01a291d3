"""Lucky Miner LV06 and other single-chip AxeOS boards: driver and emulated device."""
