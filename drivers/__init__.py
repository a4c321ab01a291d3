"""One module a board family, each a Board; and the emulated device of each, made of a twin behind its wires."""
