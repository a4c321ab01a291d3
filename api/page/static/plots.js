// Figures: lines by uPlot; nonces and states on a canvas, since they are thousands of dots.
import { at } from "./ask.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const ink = (index) => colour(`--ink-${index % 6}`);

/** Figures of a result, whatever its kind: its report's own, or what its numbers can be drawn as. */
export function figuresOf(result) {
  if (Array.isArray(result.data.figures)) return result.data.figures;
  const { raster, per_counter: chips } = result.data, figures = [];
  const numbers = (values) => Array.isArray(values) && values.length > 1
    && values.every((value) => value === null || typeof value === "number") && values.some((value) => value !== null);
  for (const [name, values] of Object.entries(result.data).filter(([, values]) => numbers(values))) {
    const [title, unit] = NAMED[name] ?? [name.replaceAll("_", " "), ""];
    figures.push(lines(title, "step", unit, [{ name: unit || name, x: values.map((_, index) => index), y: values }]));
  }
  if (chips?.valid?.length > 1) {
    figures.push(lines("States: nonces a chip", "chip", "nonces", ["valid", "invalid"].map((name) => (
      { name, x: chips[name].map((_, index) => index), y: chips[name], style: "points" }))));
  }
  if (raster) {
    figures.push({ kind: "raster", title: "Nonces", x_label: "s", y_label: "chip",
      time_s: raster.map((row) => row[0]), row: raster.map((row) => row[1]) });
  }
  return figures;
}

const NAMED = { per_step: ["Nonces a step", "nonces"], chip_temperature_c: ["Chip temperature", "°C"],
  power_w: ["Power", "W"] };

export const lines = (title, x_label, y_label, curves) => ({ kind: "lines", title, x_label, y_label, curves });

const DRAWN = { lines: drawLines, raster: drawRaster, heat: drawHeat };

/** Draw a figure; the element that it is in, or null where this page does not know its kind. */
export function draw(figure, place = at("task-plots")) {
  if (!DRAWN[figure.kind]) return null;
  const box = document.createElement("figure"), caption = document.createElement("figcaption");
  caption.textContent = [figure.title, figure.caption].filter(Boolean).join(": ");
  place.append(box);
  DRAWN[figure.kind](figure, box, Math.min(place.clientWidth || 900, 1100));
  box.append(caption);
  return box;
}

function drawLines(figure, box, width) {
  const tables = figure.curves.map((curve) => [curve.x, curve.y]);
  const axis = { stroke: colour("--ink"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const options = {
    width, height: 280, title: "",
    scales: { x: { time: false, distr: figure.x_log ? 3 : 1 }, y: { distr: figure.y_log ? 3 : 1 } },
    axes: [{ ...axis, label: figure.x_label }, { ...axis, label: figure.y_label }],
    series: [{ label: figure.x_label || "x" }, ...figure.curves.map((curve, index) => (
      { label: curve.name, stroke: ink(index), width: curve.style === "points" ? 0 : 1.5,
        points: { show: curve.style === "points", size: 4 } }))],
  };
  box.plot = new uPlot(options, tables.length === 1 ? tables[0] : uPlot.join(tables), box);
}

/** Take figures away, and what they listen to. */
export function clear(place) {
  for (const box of place.children) box.plot?.destroy();
  place.replaceChildren();
}

function canvas(box, width, height, words) {
  const made = document.createElement("canvas");
  Object.assign(made, { width, height });
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", words);
  box.append(made);
  return made.getContext("2d");
}

function drawRaster(figure, box, width) {
  const { time_s: times, row: chips } = figure;
  const pen = canvas(box, width, 300, `${figure.title}: ${times.length} nonces, a dot each, time against chip`);
  const least = times.reduce((a, b) => Math.min(a, b), Infinity), most = times.reduce((a, b) => Math.max(a, b), -Infinity);
  const span = Math.max(most - least, 1e-9), rows = chips.reduce((a, b) => Math.max(a, b), 0) + 1;
  const left = 48, bottom = 34, high = 300 - bottom, wide = width - left - 8;
  axes(pen, figure, left, high, width, [least, least + span], [0, rows - 1]);
  pen.fillStyle = ink(0);
  times.forEach((time, index) => (
    pen.fillRect(left + (time - least) / span * wide, (1 - (chips[index] + .5) / rows) * high, 3, 3)));
}

/** Columns of numbers, one a step: a chip a row, the darker (in the dark: brighter) the more. */
function drawHeat(figure, box, width) {
  const rows = figure.columns[0].length, most = figure.columns.flat().reduce((a, b) => Math.max(a, b), 1);
  const left = 48, bottom = 34, high = Math.min(Math.max(rows * 2, 24), 380), wide = width - left - 8;
  const pen = canvas(box, width, high + bottom,
    `${figure.title}: ${figure.columns.length} steps, ${rows} chips, at most ${most} nonces a chip and step`);
  axes(pen, figure, left, high, width, figure.x_range, [0, rows - 1]);
  pen.fillStyle = ink(0);
  figure.columns.forEach((column, x) => column.forEach((value, y) => {
    pen.globalAlpha = value / most;
    const begin = Math.floor(x / figure.columns.length * wide), end = Math.ceil((x + 1) / figure.columns.length * wide);
    pen.fillRect(left + begin, (1 - (y + 1) / rows) * high, end - begin, high / rows + .5);
  }));
}

function axes(pen, figure, left, high, width, [first, last], [low, top]) {
  pen.fillStyle = pen.strokeStyle = colour("--ink");
  pen.font = "12px system-ui, sans-serif";
  pen.strokeRect(left - .5, .5, width - left - 8, high);
  const number = (value) => String(Number(value.toPrecision(4)));
  pen.textAlign = "right";
  pen.fillText(number(top), left - 4, 11);
  if (top > low) pen.fillText(number(low), left - 4, high);
  pen.fillText(number(last), width - 8, high + 14);
  pen.textAlign = "left";
  pen.fillText(number(first), left, high + 14);
  pen.textAlign = "center";
  pen.fillText(figure.x_label, (left + width) / 2, high + 28);
  pen.save();
  pen.translate(12, high / 2);
  pen.rotate(-Math.PI / 2);
  pen.fillText(figure.y_label, 0, 0);
  pen.restore();
}
