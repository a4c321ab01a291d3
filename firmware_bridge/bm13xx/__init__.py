"""Serial protocol of the BM13xx chips, BM1366 and BM1387, as host and as chip.

Pure codecs: bytes in, values out; no ports, no clocks. ``commands`` and ``jobs`` hold the values that both families
share, ``bm1366`` and ``bm1387`` their bytes, ``registers`` and ``pll`` the meaning of register values, ``stream`` and
``bulk`` find frames in a stream, one by one and by the million.
"""
