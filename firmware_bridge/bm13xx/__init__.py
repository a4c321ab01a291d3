"""Serial protocol of the BM13xx chips, BM1366 and BM1387, as host and as chip. Bytes in, values out; no ports, no clocks."""
