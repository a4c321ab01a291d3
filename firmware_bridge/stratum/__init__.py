"""Stratum V1: messages, their lines, header arithmetic and the check of shares. No sockets, no clocks."""
