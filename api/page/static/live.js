// What the board of a running task says, as it says it: once a second or once a step, whichever is longer.
import { ask, at, pause, Refused } from "./ask.js";
import { clear, draw, lines } from "./plots.js";

const KEPT = 240; // steps that are shown
const LOOK_MS = 1000;

/** Follow the board until the task is over or another is shown. `mine` is the task that is shown, see task.js. */
export async function watchBoard(mine, board) {
  const seen = [];
  const options = { signal: mine.stop.signal };
  while (!mine.over && !mine.stop.signal.aborted) {
    try {
      const { live, live_time: time } = await (await ask(`/api/v1/boards/${board}`, options)).json();
      if (live?.task_id === mine.id && time !== seen.at(-1)?.time) {
        seen.push({ time, at: Date.parse(time) / 1000, ...live });
        seen.splice(0, seen.length - KEPT);
        show(seen);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof Refused) throw error;
    }
    await pause(LOOK_MS);
  }
}

function show(seen) {
  const place = at("task-live"), began = seen[0].at;
  const x = seen.map((one) => one.at - began);
  const column = (name) => seen.map((one) => one[name] ?? null);
  clear(place);
  const line = (title, unit, name) => {
    if (column(name).some((value) => value !== null)) draw(lines(title, "s", unit, [{ name: unit, x, y: column(name) }]), place);
  };
  const last = seen.at(-1);
  at("task-live-text").textContent = `Board ${last.origin}: ${last.rate_hz.toFixed(1)} nonces/s in a step of ` +
    `${Number(last.step_seconds.toPrecision(3))} s, ${last.invalid} of ${last.valid + last.invalid} wrong, ${last.lost} lost.`;
  if (last.per_chip?.length) {
    const columns = seen.filter((one) => one.per_chip?.length === last.per_chip.length).map((one) => one.per_chip);
    draw({ kind: "heat", title: "States as they come", caption: "nonces a chip and step, the newest at the right",
      x_label: "s", y_label: "chip", columns, x_range: [0, x.at(-1)] }, place);
  }
  if (last.nonces?.chip.length) {
    draw({ kind: "raster", title: "Nonces of the last step", caption: `${last.nonces.chip.length} of ${last.nonces.of}`,
      x_label: "s", y_label: "chip", time_s: last.nonces.time_s, row: last.nonces.chip }, place);
  }
  line("Nonces a second", "nonces/s", "rate_hz");
  line("Chip temperature", "°C", "chip_temperature_c");
}
