"""LBRY: the 112-byte header, its proof of work, and the variant of Stratum that its pools speak."""
