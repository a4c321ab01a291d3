"""The HTTP interface of Goldshell box miners (LB-Box, SC-BOX and their kin)."""
