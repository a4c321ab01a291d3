"""PIC16 voltage controller of an Antminer S9 hashboard, as host and as controller (braiins ``power.rs``)."""
