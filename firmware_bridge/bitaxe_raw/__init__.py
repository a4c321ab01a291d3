"""Control protocol of the bitaxe-raw USB firmware, versions 0 and 1, as host and as device.

A board with this firmware shows two serial ports: the first for control (this protocol), the second is the UART of
the chips. Sources: bitaxe-raw firmware, mujina ``transport`` and ``version.rs``.
"""
