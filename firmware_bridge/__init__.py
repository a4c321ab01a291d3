"""The wires: one package a protocol, pure codecs with a thin client and server around them."""
