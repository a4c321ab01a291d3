"""Constants of every twin, each with its source or marked as an assumption.

Sources: [BO] Braiins OS, bosminer for the S9; [EM] ESP-Miner; [GS] Goldshell box firmware notes; [REC] the S9
recording that ships with this package; [A] assumption of the right order, to be fitted by calibration;
[T] textbook value.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asic_reservoir.board import Limits, OperatingPoint, Range


@dataclass(frozen=True, slots=True)
class ChipSpec:
    """One chip: how fast, how leaky, how hot, and when it errs.

    A core's logic keeps up to the frequency f_max(V, T) = f_edge * g(V, T) / g(V0, T0), with the alpha-power law
    g(V, T) = (V - Vth(T))^alpha / V * (T / T0)^-m and Vth(T) = Vth - k (T - T0)   (Sakurai and Newton, 1990).
    """

    name: str
    cores: int
    """Cores whose numbers appear in nonces."""
    hashes_per_clock: int
    edge_mhz: float
    """Frequency at which half of the hashes are wrong, at reference voltage and temperature, of the mean chip [A]."""
    reference_v: float
    """Voltage over one chip at the nominal operating point, in V."""
    reference_c: float = 80.0
    """Die temperature that the constants are given for, in degC."""
    threshold_v: float = 0.25
    """Vth at the reference temperature, in V [A: 16 nm class]."""
    alpha: float = 1.3
    """Velocity saturation exponent [T: 1.2 to 1.5 for short channels]."""
    threshold_slope_v_per_k: float = 0.7e-3
    """Vth falls so much per kelvin [T: 0.5 to 1 mV/K]."""
    mobility_exponent: float = 1.2
    """m [T: 1 to 1.5]."""
    speed_spread: float = 0.03
    """Chip-to-chip standard deviation of f_edge, relative [A: 3 %]."""
    threshold_spread_v: float = 0.004
    """Chip-to-chip standard deviation of Vth, in V [A]."""
    leakage_spread: float = 0.25
    """Chip-to-chip standard deviation of ln(leakage) [A]."""
    core_spread: float = 0.045
    """Core-to-core standard deviation of f_edge within a chip, relative [A]: most of the width of the chip's edge."""
    path_width: float = 0.01
    """Logistic width of the edge of a single core, relative [A: voltage noise and path mix]."""
    dynamic_w: float = 5.0
    """Switching power at nominal frequency, voltage, in W."""
    leakage_w: float = 1.3
    """Leakage at reference temperature and voltage, in W [A: a fifth of the total]."""
    leakage_slope_k: float = 35.0
    """Leakage grows e-fold per so many kelvin [T: doubling each 20 to 30 K]."""
    leakage_slope_v: float = 0.12
    """Leakage current grows e-fold per so many volt (drain-induced barrier lowering) [A]."""


@dataclass(frozen=True, slots=True)
class HeatSpec:
    """Die, package and heatsink of one chip, their neighbours, and the air."""

    die_j_per_k: float
    package_j_per_k: float
    heatsink_j_per_k: float
    die_package_k_per_w: float
    package_heatsink_k_per_w: float
    heatsink_air_k_per_w: float
    """At full air flow; grows as flow^-0.7 [T: turbulent forced convection]."""
    neighbour_w_per_k: float
    """Between the heatsinks of chips that are neighbours in the chain [A]."""
    airflow_w_per_k: float
    """Heat capacity flow of the air at full fan, per hashboard: what the air warms by along the board."""
    inlet_c: float = 28.0
    fan_full_rpm: float = 6000.0
    fan_time_s: float = 2.0
    """Time constant of the fan's speed [A]."""


@dataclass(frozen=True, slots=True)
class RegulatorSpec:
    """How a requested voltage becomes a real one."""

    kind: str
    """``pic16``, ``ds4432u`` or ``step``."""
    step_mv: float
    load_line_mohm: float
    """Output falls by so much per ampere [A]."""
    efficiency: float = 0.92
    """Of the conversion from the input that the power sensor sees [A]."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a new job costs, and what comes back twice or late."""

    dead_s: float
    """After a clean job nothing arrives for so long."""
    ramp_s: float
    """Then the rate rises linearly to its plateau within so long."""
    stale_s: float
    """Nonces found in so long before a clean job arrive after it."""
    duplicate_probability: float
    """Of a nonce to be reported a second time."""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """The way from chip to host; each part can be off (0)."""

    usb_frame_s: float = 0.0
    """Bytes are handed over at the next boundary of so long (USB full speed: 1 ms)."""
    tcp_coalesce_s: float = 0.0
    """Segments that follow within so long are read together (Nagle, delayed acknowledgement, polling)."""
    jitter_s: float = 0.0
    """Exponential delay of the path, mean."""
    loss: float = 0.0
    """Probability that a nonce is lost on the way."""


@dataclass(frozen=True, slots=True)
class TwinSpec:
    """One board."""

    family: str
    model: str
    algorithm: str
    chip: ChipSpec
    heat: HeatSpec
    regulator: RegulatorSpec
    job: JobSpec
    link: LinkSpec
    n_hashboards: int
    chips_per_hashboard: int
    n_domains: int
    """Voltage domains in series on a hashboard; chips of one domain are in parallel."""
    pll: str
    """``bm1387`` or ``bm1366``, or ``step:<MHz>``."""
    per_chip_frequency: bool
    slew_mhz_per_s: float
    """How fast a clock moves to its new value."""
    relock_s: float
    """A PLL that changes makes no hashes for so long."""
    ticket_mask: int
    """Set in the chip when the board is opened; stricter wins."""
    ticket_mask_settable: bool
    attributes_chips: bool
    limits: Limits
    nominal: OperatingPoint
    overhead_w: float
    """Controller and fans."""
    core_numbers: tuple[int, ...]
    """Core numbers as they appear in nonces."""
    sensor_chips: tuple[int, ...]
    """Chips of a hashboard that have a temperature sensor."""
    firmware: str
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def n_chips(self) -> int:
        return self.n_hashboards * self.chips_per_hashboard


_S9_CORES = (*range(57), *range(64, 121))  # the 114 values in use in [REC], in a 7-bit field with holes

S9 = TwinSpec(
    family="s9",
    model="Antminer S9",
    algorithm="sha256d",
    # 650 MHz * 114 = 74.1 GH/s [BO]; 8.8 V over 21 domains is 0.419 V a chip; 5.0 + 1.3 W * 63 = 397 W a hashboard,
    # 1,290 W at the wall with conversion and fans (about 98 J/TH).
    chip=ChipSpec("BM1387", cores=114, hashes_per_clock=114, edge_mhz=830.0, reference_v=8.8 / 21),
    heat=HeatSpec(
        die_j_per_k=0.015,  # 25 mm^2 * 0.35 mm silicon [A]
        package_j_per_k=0.8,
        heatsink_j_per_k=9.0,
        die_package_k_per_w=0.9,
        package_heatsink_k_per_w=0.8,
        heatsink_air_k_per_w=3.6,
        neighbour_w_per_k=0.05,
        airflow_w_per_k=30.0,
    ),
    regulator=RegulatorSpec("pic16", step_mv=1000 / 170.423497, load_line_mohm=1.0),
    # dead time and ramp after a clean job, duplicates: of the order seen in [REC]
    job=JobSpec(dead_s=0.02, ramp_s=0.08, stale_s=0.03, duplicate_probability=0.01),
    link=LinkSpec(),
    n_hashboards=3,
    chips_per_hashboard=63,
    n_domains=21,
    pll="bm1387",
    per_chip_frequency=True,
    slew_mhz_per_s=1e6,
    relock_s=0.001,
    ticket_mask=1,
    ticket_mask_settable=True,
    attributes_chips=True,
    limits=Limits(Range(200, 900), Range(7950, 9400), chip_temperature_c=110.0, power_w=1900.0),
    nominal=OperatingPoint(frequency_mhz=650.0, voltage_mv=8800.0, difficulty=1, fan_percent=80.0),
    overhead_w=40.0,
    core_numbers=_S9_CORES,
    sensor_chips=(61,),
    firmware="own the board: PIC and UART chain",
)

_BM1366 = ChipSpec(
    "BM1366",
    cores=112,
    hashes_per_clock=894,
    edge_mhz=590.0,
    reference_v=1.2,
    reference_c=60.0,
    # four hash domains in series inside the chip (0.30 V each at 1.20 V): threshold scaled to the whole stack [A: 5 nm]
    threshold_v=0.76,
    threshold_slope_v_per_k=2.0e-3,
    dynamic_w=8.0,
    leakage_w=1.2,
    leakage_slope_v=0.3,
)
_SMALL_BOARD_HEAT = HeatSpec(
    die_j_per_k=0.05,
    package_j_per_k=1.5,
    heatsink_j_per_k=45.0,
    die_package_k_per_w=0.35,
    package_heatsink_k_per_w=0.4,
    heatsink_air_k_per_w=1.9,
    neighbour_w_per_k=0.0,
    airflow_w_per_k=2.5,
    inlet_c=25.0,
    fan_full_rpm=7000.0,
)
_BM1366_JOB = JobSpec(dead_s=0.01, ramp_s=0.03, stale_s=0.075, duplicate_probability=0.005)

LV06 = TwinSpec(
    family="lv06",
    model="Lucky Miner LV06",
    algorithm="sha256d",
    chip=_BM1366,
    heat=_SMALL_BOARD_HEAT,
    regulator=RegulatorSpec("ds4432u", step_mv=3.70, load_line_mohm=1.5, efficiency=0.88),
    job=_BM1366_JOB,
    link=LinkSpec(),
    n_hashboards=1,
    chips_per_hashboard=1,
    n_domains=1,
    pll="bm1366",
    per_chip_frequency=False,
    slew_mhz_per_s=62.5,  # 6.25 MHz each 100 ms [EM]
    relock_s=0.001,
    ticket_mask=256,  # fixed by the firmware [EM]
    ticket_mask_settable=False,
    attributes_chips=False,
    limits=Limits(Range(400, 575), Range(1100, 1300), chip_temperature_c=75.0, power_w=25.0),
    nominal=OperatingPoint(frequency_mhz=485.0, voltage_mv=1200.0, difficulty=256, fan_percent=100.0),
    overhead_w=2.0,
    core_numbers=tuple(range(112)),
    sensor_chips=(0,),
    firmware="AxeOS",
)

BM1366 = TwinSpec(
    family="bm1366",
    model="bare BM1366 board",
    algorithm="sha256d",
    chip=_BM1366,
    heat=_SMALL_BOARD_HEAT,
    regulator=RegulatorSpec("ds4432u", step_mv=3.70, load_line_mohm=1.5, efficiency=0.88),
    job=_BM1366_JOB,
    link=LinkSpec(),
    n_hashboards=1,
    chips_per_hashboard=1,
    n_domains=1,
    pll="bm1366",
    per_chip_frequency=True,
    slew_mhz_per_s=62.5,
    relock_s=0.001,
    ticket_mask=1,
    ticket_mask_settable=True,
    attributes_chips=True,
    limits=Limits(Range(50, 575), Range(1000, 1300), chip_temperature_c=80.0, power_w=25.0),
    nominal=OperatingPoint(frequency_mhz=485.0, voltage_mv=1200.0, difficulty=1, fan_percent=100.0),
    overhead_w=1.0,
    core_numbers=tuple(range(112)),
    sensor_chips=(0,),
    firmware="bitaxe-raw",
)

LB_BOX = TwinSpec(
    family="lb-box",
    model="Goldshell LB-Box",
    algorithm="lbry",
    # 175 GH/s and 162 W at 725 MHz are the maker's figures; the number of chips and everything inside is assumed.
    chip=ChipSpec(
        "LB-Box chip",
        cores=20,
        hashes_per_clock=20,
        edge_mhz=930.0,
        reference_v=0.41,
        reference_c=70.0,
        dynamic_w=8.6,
        leakage_w=1.9,
    ),
    heat=HeatSpec(
        die_j_per_k=0.03,
        package_j_per_k=1.2,
        heatsink_j_per_k=30.0,
        die_package_k_per_w=0.5,
        package_heatsink_k_per_w=0.6,
        heatsink_air_k_per_w=2.4,
        neighbour_w_per_k=0.2,
        airflow_w_per_k=12.0,
        inlet_c=25.0,
        fan_full_rpm=3200.0,
    ),
    regulator=RegulatorSpec("step", step_mv=10.0, load_line_mohm=0.02, efficiency=0.9),
    job=JobSpec(dead_s=0.01, ramp_s=0.05, stale_s=0.05, duplicate_probability=0.002),
    link=LinkSpec(),
    n_hashboards=1,
    chips_per_hashboard=12,
    n_domains=1,
    pll="step:25",  # the settings object moves in steps of 25 MHz [GS]
    per_chip_frequency=False,
    slew_mhz_per_s=100.0,
    relock_s=0.01,
    ticket_mask=256,
    ticket_mask_settable=False,
    attributes_chips=False,
    limits=Limits(Range(300, 800), Range(380, 450), chip_temperature_c=95.0, power_w=260.0),
    nominal=OperatingPoint(frequency_mhz=725.0, voltage_mv=410.0, difficulty=256, fan_percent=70.0),
    overhead_w=25.0,
    core_numbers=tuple(range(20)),
    sensor_chips=(0,),
    firmware="goldshell",
)

SPECS: dict[str, TwinSpec] = {spec.family: spec for spec in (S9, LV06, BM1366, LB_BOX)}
"""Every twin by the name of its URI."""
