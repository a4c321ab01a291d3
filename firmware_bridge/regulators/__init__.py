"""Voltage regulators, fan controller and power meter of BM1366 boards: values to register bytes and back.

Pure arithmetic of four parts on an I2C bus: DS4432U (current sink that trims a buck regulator), TPS546D24 (PMBus
regulator), EMC2101 (fan and temperature), INA260 (power meter).
"""
