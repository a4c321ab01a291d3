"use strict";
// The page works without this script where no key is needed: it then shows the shelf and the tasks, and reloads itself.
const at = (id) => document.getElementById(id);
const REFRESH_MS = 2000;
const SLOW = 5; // models and claims change seldom: every so many refreshes
let ticks = 0;
let kinds = [];
let shown = null; // { id, stop }: the task that is followed
let stopping = null; // the board that the stop dialog is about
let asker = 0; // number of the newest question who asks

function headers(more) {
  const key = sessionStorage.getItem("key");
  return { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...more };
}

function tell(text, bad) {
  at("news").textContent = text;
  at("news").classList.toggle("bad", Boolean(bad));
}

async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.headers) });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  throw new Error(problem.detail);
}

const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// A table that is replaced must not take the focus of who works in it by keyboard, and an answer that was overtaken by
// a later one must not be drawn over it: it would show a stopped board as running.
// Nor under a pressed button: released over another one, it is no click, and a stop would be lost.
const asked = {}, drawn = {};
let pressed = false;
addEventListener("pointerdown", () => { pressed = true; }, true);
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, () => setTimeout(() => { pressed = false; }), true); // after the click that it makes
}

async function refresh(id) {
  const turn = asked[id] = (asked[id] ?? 0) + 1;
  const html = await (await ask(`/page/${id}`)).text();
  for (let waits = 0; pressed && waits < 40; waits += 1) await new Promise((go) => setTimeout(go, 50));
  if (turn < (drawn[id]?.turn ?? 0)) return;
  const same = drawn[id]?.html === html;
  drawn[id] = { turn, html };
  if (same) return;
  const active = at(id).contains(document.activeElement) ? document.activeElement : null;
  const row = active?.closest("[data-board]")?.dataset.board;
  at(id).innerHTML = html;
  if (active) (at(active.id) ?? (row && buttonOf(row)))?.focus();
}

const buttonOf = (board) => at(`release-${board}`) ?? at(`stop-${board}`);

async function refreshAll(everything = true) {
  if (document.hidden) return;
  try {
    const parts = everything ? ["shelf", "tasks", "models", "claims"] : ["shelf", "tasks"];
    await Promise.all(parts.map(refresh));
    const boards = [...document.querySelectorAll("[data-board]")].map((row) => row.dataset.board);
    if (boards.join() !== [...at("board").options].map((option) => option.value).join()) {
      at("board").replaceChildren(...boards.map((name) => new Option(name, name)));
    }
  } catch (error) {
    tell(`Not up to date: ${error.message}`, true);
  }
}

async function loadKinds() {
  kinds = (await (await ask("/api/v1/kinds")).json()).items;
  at("kind").replaceChildren(...kinds.map((kind) => new Option(kind.title, kind.name)));
  chooseKind();
}

function chooseKind() {
  const kind = kinds.find((one) => one.name === at("kind").value);
  if (!kind) return;
  at("kind-text").textContent = kind.description;
  at("params").value = JSON.stringify(kind.example, null, 1);
}

async function submitTask(event) {
  event.preventDefault();
  try {
    const params = JSON.parse(at("params").value || "{}");
    const task = await (await post("/api/v1/tasks", { kind: at("kind").value, board: at("board").value, params })).json();
    tell(`Submitted; ${task.queue_position ?? 0} before it.`);
    location.hash = `task=${task.id}`;
  } catch (error) {
    tell(`Not submitted: ${error.message}`, true);
    return;
  }
  await refreshAll(false);
}

// -- one task ------------------------------------------------------------------------------------------------------

function openFromHash() {
  const id = /^#task=([0-9a-f-]{36})$/.exec(location.hash)?.[1];
  if (!id || shown?.id === id) return;
  if (shown) shown.stop.abort();
  shown = { id, stop: new AbortController() };
  at("task").hidden = false;
  at("task-title").textContent = `Task …${id.slice(-8)}`;
  for (const part of ["task-facts", "task-plots", "task-files"]) at(part).replaceChildren();
  at("task-stream").hidden = true;
  at("task-title").focus();
  follow(shown).catch(told("Task"));
}

// What is asked for a task that is shown no more is given up, so that no late answer is drawn over the next one.
const told = (what) => (error) => { if (error.name !== "AbortError") tell(`${what}: ${error.message}`, true); };

async function follow(mine) {
  const base = `/api/v1/tasks/${mine.id}`;
  let last = 0;
  for (;;) {
    await showTask(mine, base);
    const options = { signal: mine.stop.signal, headers: last ? { "Last-Event-ID": String(last) } : {} };
    const reader = (await ask(`${base}/events`, options)).body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split("\n").filter((line) => line.includes(": ") && !line.startsWith(":"))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
        if (fields.event === "end") { await showTask(mine, base); await showResult(mine, base); await refreshAll(); return; }
        if (fields.id) { last = Number(fields.id); showEvent(JSON.parse(fields.data)); }
      }
    }
    await new Promise((go) => setTimeout(go, 1000)); // the service went away: resume after the last event
  }
}

function showEvent(event) {
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
    await new Promise((go) => setTimeout(go, 1000));
  }
}

async function showTask(mine, base) {
  const task = await (await ask(base, { signal: mine.stop.signal })).json();
  if (task.kind === "stream" && !mine.streaming) {
    mine.streaming = true;
    showStream(mine, base).catch(told("Stream"));
  }
  const place = task.queue_position === null ? "" : `, ${task.queue_position} before it`;
  at("task-state").textContent = `${task.state}${place}${task.error ? `: ${task.error}` : ""}`;
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
  for (const figure of figuresOf(result)) draw(figure);
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

async function fetchFile(event) { // a link of its own cannot carry the key
  const link = event.target.closest("a[data-fetch]");
  if (!link || !sessionStorage.getItem("key")) return;
  event.preventDefault();
  try {
    const url = URL.createObjectURL(await (await ask(link.href)).blob());
    Object.assign(document.createElement("a"), { href: url, download: link.dataset.fetch }).click();
    URL.revokeObjectURL(url);
  } catch (error) {
    tell(`Not fetched: ${error.message}`, true);
  }
}

// -- plots ---------------------------------------------------------------------------------------------------------

function figuresOf(result) {
  if (Array.isArray(result.data.figures)) return result.data.figures;
  const figures = [];
  const steps = (values) => values.map((_, index) => index);
  if (result.data.per_step) {
    figures.push({ kind: "lines", title: "Nonces a step", x_label: "step", y_label: "nonces",
      curves: [{ name: "nonces", x: steps(result.data.per_step), y: result.data.per_step }] });
  }
  if (result.data.chip_temperature_c?.some((value) => value !== null)) {
    figures.push({ kind: "lines", title: "Chip temperature", x_label: "step", y_label: "°C",
      curves: [{ name: "°C", x: steps(result.data.chip_temperature_c), y: result.data.chip_temperature_c }] });
  }
  if (result.data.raster) {
    figures.push({ kind: "raster", title: "Nonces", x_label: "s", y_label: "chip",
      time_s: result.data.raster.map((row) => row[0]), row: result.data.raster.map((row) => row[1]) });
  }
  return figures;
}

const INK = ["#0a58a6", "#b35900", "#1a6b3c", "#6b3fa0", "#b3261e", "#57606a"];

function draw(figure) {
  const box = document.createElement("figure"), caption = document.createElement("figcaption");
  caption.textContent = [figure.title, figure.caption].filter(Boolean).join(": ");
  at("task-plots").append(box);
  if (figure.kind === "lines") drawLines(figure, box);
  else if (figure.kind === "raster") drawRaster(figure, box);
  else { at("task-plots").removeChild(box); return; }
  box.append(caption);
}

function drawLines(figure, box) {
  const tables = figure.curves.map((curve) => [curve.x, curve.y]);
  const options = {
    width: Math.min(at("task-plots").clientWidth || 900, 1100), height: 280, title: "",
    scales: { x: { time: false, distr: figure.x_log ? 3 : 1 }, y: { distr: figure.y_log ? 3 : 1 } },
    axes: [{ label: figure.x_label }, { label: figure.y_label }],
    series: [{ label: figure.x_label || "x" }, ...figure.curves.map((curve, index) => (
      { label: curve.name, stroke: INK[index % INK.length], width: 1.5, points: { show: curve.style === "points" } }))],
  };
  new uPlot(options, tables.length === 1 ? tables[0] : uPlot.join(tables), box);
}

function drawRaster(figure, box) {
  const canvas = document.createElement("canvas");
  canvas.width = 1000; canvas.height = 300;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${figure.title}: ${figure.time_s.length} nonces, a dot each, time against chip`);
  const pen = canvas.getContext("2d");
  const most = Math.max(...figure.time_s, 1e-9), rows = Math.max(...figure.row, 0) + 1;
  pen.fillStyle = INK[0];
  figure.time_s.forEach((time, index) => pen.fillRect((time / most) * 996, (figure.row[index] + .5) / rows * 296, 2, 2));
  box.append(canvas);
}

// -- emergency stop ------------------------------------------------------------------------------------------------

function askToStop(name) {
  stopping = name;
  at("stop-text").textContent = `What runs on ${name} is ended and the board goes to its safe state. Write its name to confirm.`;
  at("stop-confirm").value = at("stop-reason").value = "";
  at("stop-dialog").showModal();
  at("stop-confirm").focus();
}

// Its words are read while it is still open: by the time it says that it closed, it may be open for another board.
async function stopAsked(event) {
  if (event.submitter?.value !== "do") return;
  const name = stopping, words = { confirm: at("stop-confirm").value, reason: at("stop-reason").value };
  try {
    await post(`/api/v1/boards/${name}/stop`, words);
    tell(`${name} is stopped.`);
  } catch (error) {
    tell(`${name} is NOT stopped: ${error.message}`, true);
  }
  await refreshAll();
}

function stopClosed() {
  if (!at("stop-dialog").open) buttonOf(stopping)?.focus(); // its row is followed from here, whatever it becomes
}

async function release(name) {
  try {
    await post(`/api/v1/boards/${name}/release`, { confirm: name });
    tell(`${name} is released.`);
  } catch (error) {
    tell(`${name} is not released: ${error.message}`, true);
  }
  await refreshAll();
}

async function useKey(event) {
  const turn = ++asker;
  event?.preventDefault();
  if (event) { if (at("key").value) sessionStorage.setItem("key", at("key").value); else sessionStorage.removeItem("key"); }
  at("key").value = "";
  try {
    const me = await (await ask("/api/v1/me")).json();
    if (turn !== asker) return; // another key came meanwhile
    at("who").textContent = `${me.name}: ${me.scopes.join(", ")}`;
    tell("");
    await Promise.all([loadKinds(), refreshAll()]);
  } catch (error) {
    if (turn !== asker) return;
    at("who").textContent = "";
    tell(error.message, true);
  }
}

at("key-form").addEventListener("submit", useKey);
at("kind").addEventListener("change", chooseKind);
at("submit-form").addEventListener("submit", submitTask);
at("stop-form").addEventListener("submit", stopAsked);
at("stop-dialog").addEventListener("close", stopClosed);
at("shelf").addEventListener("click", (event) => {
  const { stop, release: free } = event.target.dataset;
  if (stop) askToStop(stop);
  if (free) release(free);
});
at("task-cancel").addEventListener("click", async () => {
  try { await post(`/api/v1/tasks/${shown.id}/cancel`, {}); tell("Cancel was asked for."); } catch (error) { tell(error.message, true); }
});
addEventListener("hashchange", openFromHash);
useKey().then(openFromHash);
addEventListener("click", fetchFile);
setInterval(() => refreshAll(++ticks % SLOW === 0), REFRESH_MS);
