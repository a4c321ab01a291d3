// One task: where it is, what its board says meanwhile, and what came of it.
import { ask, at, headers, pause, post, Refused, tell } from "./ask.js";
import { watchBoard } from "./live.js";
import { clear, draw, figuresOf } from "./plots.js";

const AGAIN_MS = 1500; // a service that went away is asked again after so long
const OPEN = ["queued", "running", "cancelling"];
let shown = null; // { id, stop, over, … }: the task that is followed
let changed = () => {}; // the tables are to be read again

// What is asked for a task that is shown no more is given up, so that no late answer is drawn over the next one.
const told = (what) => (error) => { if (error.name !== "AbortError") tell(`${what}: ${error.message}`, true); };

export function openFromHash() {
  const id = /^#task=([0-9a-f-]{36})$/.exec(location.hash)?.[1];
  if (!id || shown?.id === id) return;
  if (shown) shown.stop.abort();
  shown = { id, stop: new AbortController(), over: false };
  at("task").hidden = false;
  at("task-title").textContent = `Task …${id.slice(-8)}`;
  for (const part of ["task-facts", "task-files"]) at(part).replaceChildren();
  for (const part of ["task-live", "task-plots"]) clear(at(part));
  at("task-live-text").textContent = "";
  at("task-stream").hidden = true;
  at("task-title").focus();
  follow(shown).catch(told("Task"));
}

/** Follow a task to its end, over restarts of the service: it goes on after the last event that was seen. */
async function follow(mine) {
  let last = 0, lost = false;
  while (!mine.over) {
    try {
      await showTask(mine);
      if (lost) tell("The service is there again.");
      lost = false;
      last = await hear(mine, last);
    } catch (error) {
      if (error.name === "AbortError" || error instanceof Refused) throw error;
      tell(`Task: the service does not answer (${error.message}); trying again.`, true);
      lost = true;
    }
    if (!mine.over) await pause(AGAIN_MS);
  }
  await changed();
}

async function hear(mine, after) {
  const base = `/api/v1/tasks/${mine.id}`;
  const options = { signal: mine.stop.signal, headers: after ? { "Last-Event-ID": String(after) } : {} };
  const reader = (await ask(`${base}/events`, options)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", last = after;
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      return { done: true }; // cut off in the middle: what came has been shown
    });
    if (done) return last;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").filter((line) => line.includes(": ") && !line.startsWith(":"))
        .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (fields.event === "end") {
        await showTask(mine);
        await showResult(mine, base);
        mine.over = true;
        return last;
      }
      if (fields.id) { last = Number(fields.id); showEvent(mine, JSON.parse(fields.data)); }
    }
  }
}

function showEvent(mine, event) {
  if (event.kind === "progress") {
    at("task-progress").hidden = false;
    at("task-progress").max = event.data.total || 1;
    at("task-progress").value = event.data.done;
    at("task-state").textContent = `running: ${event.data.text}, ${event.data.done} of ${event.data.total}`;
  } else {
    at("task-state").textContent = event.kind + (event.data.reason ? `: ${event.data.reason}` : "");
  }
  at("task-cancel").hidden = !["running", "progress", "queued"].includes(event.kind);
}

async function showStream(mine, base) {
  while (!mine.stop.signal.aborted) {
    const stream = await (await ask(`${base}/stream`, { signal: mine.stop.signal })).json();
    at("task-stream").hidden = false;
    at("task-stream").textContent = `Stream: ${stream.next} inputs taken, ${stream.answered} answered, ` +
      `${stream.connected ? "a client is connected" : "nobody is connected"}` +
      (stream.ended ? ", ended." : `; safe after ${stream.idle_seconds} s without an input.`);
    if (!["queued", "running"].includes(stream.state)) return;
    await pause(1000);
  }
}

async function showTask(mine) {
  const base = `/api/v1/tasks/${mine.id}`;
  const task = await (await ask(base, { signal: mine.stop.signal })).json();
  if (OPEN.includes(task.state) && !mine.watching) {
    mine.watching = true;
    watchBoard(mine, task.board).catch(told("Board"));
  }
  if (task.kind === "stream" && !mine.streaming) {
    mine.streaming = true;
    showStream(mine, base).catch(told("Stream"));
  }
  const place = task.queue_position === null ? "" : `, ${task.queue_position} before it`;
  const start = task.estimated_start ? `, begins about ${new Date(task.estimated_start).toLocaleTimeString()}` : "";
  at("task-title").textContent = `Task …${mine.id.slice(-8)}: ${task.kind} on ${task.board || "no board"}`;
  at("task-state").textContent = `${task.state}${place}${start}${task.error ? `: ${task.error}` : ""}`;
  at("task-cancel").hidden = !["queued", "running"].includes(task.state);
  at("task-progress").hidden = !["running", "cancelling"].includes(task.state);
}

async function showResult(mine, base) {
  const response = await fetch(`${base}/result`, { headers: headers(), signal: mine.stop.signal });
  if (!response.ok) return;
  const result = await response.json();
  facts({ Origin: result.origin, ...result.summary, "Board time": `${result.cost.board_seconds.toFixed(1)} s`,
    Energy: result.cost.energy_j === null ? "not known" : `${result.cost.energy_j.toFixed(0)} J`,
    Version: `${result.provenance.version} ${result.provenance.commit.slice(0, 10)}` });
  clear(at("task-plots"));
  figuresOf(result).forEach((figure) => draw(figure));
  const links = result.files.map((file) => fileLink(base, file));
  at("task-files").replaceChildren(...links.flatMap((link) => [link, " "]));
}

function facts(pairs) {
  at("task-facts").replaceChildren(...Object.entries(pairs).flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = typeof value === "number" ? String(Number(value.toPrecision(5))) : value;
    return [term, text];
  }));
}

function fileLink(base, file) {
  const link = document.createElement("a");
  link.textContent = `${file.name} (${Math.ceil(file.bytes / 1024)} kB)`;
  link.href = `${base}/files/${file.name}`;
  link.dataset.fetch = file.name;
  return link;
}

async function cancel() {
  try {
    await post(`/api/v1/tasks/${shown.id}/cancel`, {});
    tell("Cancel was asked for.");
  } catch (error) {
    tell(error.message, true);
  }
}

/** Begin; `refresh` is called when a task has come to its end. */
export function begin(refresh) {
  changed = refresh;
  at("task-cancel").addEventListener("click", cancel);
  addEventListener("hashchange", openFromHash);
}
