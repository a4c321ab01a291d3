"""Names of the ladder in words. The names stand in the JSON; the words stand beside them on the page."""

from __future__ import annotations

ROW_WORDS: dict[str, str] = {
    "constant": "The mean of the training target, whatever the input. 1 by the definition of NRMSE.",
    "input": "The present input u[t] alone, linear, on the host. What any channel without memory can reach at best.",
    "host_lags_10": "Linear readout of the last 10 inputs, kept by the host. No silicon.",
    "host_lags_20": "Linear readout of the last 20 inputs, kept by the host. No silicon.",
    "host_lags_50": "Linear readout of the last 50 inputs, kept by the host. No silicon: the bar that memory sets.",
    "host_nvar": "The last inputs and their products, on the host. What nonlinear memory is worth without silicon.",
    "poisson_twin": "A counter without memory, with the same mean counts and dead time, in place of the board.",
    "esn_same_noise": "An echo state network with as many nodes, read through the same counting noise.",
    "decoupled": "Control: the board ran, the input did not reach it. Must fall to the constant.",
    "shuffled": "Control: the recorded states in random order of time. Must fall to the constant.",
    "silicon": "Linear readout of what the board counted, and nothing else.",
    "silicon_present_only": "The board driven by u[t] only: what the silicon itself remembers.",
    "host_silicon": "The 50 inputs kept by the host together with what the board counted.",
    "difference": "host_silicon minus host_lags_50, paired over seeds: what the board adds. Below 0 it adds something.",
}
"""Explanation of every row name that the JSON promises."""

ROW_TITLES: dict[str, str] = {
    "constant": "constant",
    "input": "present input u[t]",
    "host_lags_10": "host, 10 lags",
    "host_lags_20": "host, 20 lags",
    "host_lags_50": "host, 50 lags",
    "host_nvar": "host, lags and products",
    "poisson_twin": "memoryless Poisson counter",
    "esn_same_noise": "echo state network, same noise",
    "decoupled": "control: input decoupled",
    "shuffled": "control: states shuffled",
    "silicon": "silicon",
    "silicon_present_only": "silicon, sees u[t] only",
    "host_silicon": "host 50 lags + silicon",
    "difference": "added value (host + silicon − host)",
}

ORIGIN_WORDS: dict[str, str] = {
    "simulated": "A physics twin made these data; no hardware was involved.",
    "replayed": "These data were measured once on hardware and are played back from a recording.",
    "measured": "These data were measured on a real board in this run.",
}


def title_of(name: str) -> str:
    """The name of a row as a reader sees it."""
    return ROW_TITLES.get(name, name.replace("_", " "))
