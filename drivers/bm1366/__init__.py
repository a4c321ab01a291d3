"""Boards of BM1366 chips at their UART: bitaxe-raw USB boards, or a chain with an I2C adapter; and their emulation."""
