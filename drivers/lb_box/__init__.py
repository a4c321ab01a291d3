"""Goldshell LB-Box, a LBRY miner: driver and emulated device."""
