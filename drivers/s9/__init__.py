"""The Antminer S9: with its own firmware, with Braiins, or a hashboard owned directly; and the emulation of each."""
