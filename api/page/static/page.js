// The page: its tables, a task to submit, the emergency stop, the key. What shows one task is in task.js.
// It works without scripts where no key is needed: it then shows the shelf and the tasks, and reloads itself.
import { ask, at, pause, post, tell } from "./ask.js";
import { begin, openFromHash } from "./task.js";

const REFRESH_MS = 2000;
const SLOW = 5; // what else there is changes seldom: every so many refreshes
const ALL = "all boards";
let ticks = 0;
let kinds = [];
let loading = null; // that they are read, once a key
let stopping = null; // the board that the stop dialog is about, or all of them
const pages = []; // the last task of every page of tasks before the one that is shown
let asker = 0; // number of the newest question who asks
let current = new Date(); // when the tables were read last

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
  const html = await (await ask(id === "tasks" ? tasksAddress() : `/page/${id}`)).text();
  for (let waits = 0; pressed && waits < 40; waits += 1) await pause(50);
  if (turn < (drawn[id]?.turn ?? 0)) return;
  const same = drawn[id]?.html === html;
  drawn[id] = { turn, html };
  if (same) return;
  const active = at(id).contains(document.activeElement) ? document.activeElement : null;
  const row = active?.closest("[data-board]")?.dataset.board;
  at(id).innerHTML = html;
  if (id === "tasks") {
    at("tasks-back").ariaDisabled = String(!pages.length); // and not disabled: who has just pressed it stays on it
    at("tasks-more").ariaDisabled = String(!following());
  }
  if (active) (at(active.id) ?? (row && buttonOf(row)))?.focus();
}

const buttonOf = (board) => at(`release-${board}`) ?? at(`stop-${board}`);

async function refreshAll(everything = true) {
  if (document.hidden) return;
  try {
    const parts = everything ? ["shelf", "tasks", "recordings", "models", "claims"] : ["shelf", "tasks"];
    await Promise.all(parts.map(refresh));
    const boards = shelf();
    if (boards.join() !== [...at("board").options].map((option) => option.value).join()) {
      at("board").replaceChildren(...boards.map((name) => new Option(name, name)));
    }
    await (loading ??= loadKinds().catch((error) => { loading = null; throw error; }));
    current = new Date();
    at("stale").hidden = true;
  } catch (error) {
    // said where nothing else is said, and for as long as it lasts: what the tables show may be over by now
    at("stale").hidden = false;
    at("stale").textContent = `Not up to date since ${current.toLocaleTimeString()}: ${error.message}`;
  }
}

const shelf = () => [...document.querySelectorAll("[data-board]")].map((row) => row.dataset.board);

// -- the queue -----------------------------------------------------------------------------------------------------

function tasksAddress() {
  return `/page/tasks?${new URLSearchParams({ show: at("tasks-show").value, ...(pages.length && { after: pages.at(-1) }) })}`;
}

const following = () => at("tasks").querySelector("[data-next]")?.dataset.next;

async function turn(event) {
  if (event.target.id === "tasks-more" && following() && following() !== pages.at(-1)) pages.push(following());
  if (event.target.id === "tasks-back") pages.pop();
  if (event.target.id === "tasks-show") pages.length = 0;
  await refreshAll(false);
}

async function loadKinds() {
  const found = (await (await ask("/api/v1/kinds")).json()).items;
  if (found.map((kind) => kind.name).join() === kinds.map((kind) => kind.name).join()) return; // leaves what is chosen
  kinds = found;
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
    const wanted = { kind: at("kind").value, board: at("board").value, params, priority: Number(at("priority").value) };
    const task = await (await post("/api/v1/tasks", wanted)).json();
    tell(`Submitted; ${task.queue_position ?? 0} before it.`);
    location.hash = `task=${task.id}`;
  } catch (error) {
    tell(`Not submitted: ${error.message}`, true);
    return;
  }
  await refreshAll(false);
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

// -- emergency stop ------------------------------------------------------------------------------------------------

function askToStop(name) {
  stopping = name;
  const whole = name === ALL;
  at("stop-text").textContent = whole
    ? `What runs on ${shelf().length} boards is ended and all go to their safe state. Write “${ALL}” to confirm.`
    : `What runs on ${name} is ended and the board goes to its safe state. Write its name to confirm.`;
  at("stop-label").textContent = whole ? "The words" : "Name of the board";
  at("stop-confirm").value = at("stop-reason").value = "";
  at("stop-dialog").showModal();
  at("stop-confirm").focus();
}

// Its words are read while it is still open: by the time it says that it closed, it may be open for another board.
async function stopAsked(event) {
  if (event.submitter?.value !== "do") return;
  const name = stopping, confirm = at("stop-confirm").value, reason = at("stop-reason").value;
  if (name === ALL && confirm !== ALL) {
    tell(`Nothing is stopped: “${confirm}”, must be “${ALL}”`, true);
    return;
  }
  const ends = name === ALL
    ? shelf().map((board) => stopOne(board, { confirm: board, reason })) : [stopOne(name, { confirm, reason })];
  const words = (await Promise.all(ends)).sort((one, other) => other.bad - one.bad);
  tell(words.map((one) => one.text).join(" "), words.some((one) => one.bad));
  await refreshAll();
}

async function stopOne(name, words) {
  try {
    await post(`/api/v1/boards/${name}/stop`, words);
    return { text: `${name} is stopped.`, bad: false };
  } catch (error) {
    return { text: `${name} is NOT stopped: ${error.message}.`, bad: true };
  }
}

function stopClosed() {
  if (at("stop-dialog").open) return;
  (stopping === ALL ? at("stop-all") : buttonOf(stopping))?.focus(); // its row is followed from here, whatever it becomes
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
    loading = null;
    await refreshAll();
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
at("stop-all").addEventListener("click", () => askToStop(ALL));
for (const id of ["tasks-more", "tasks-back"]) at(id).addEventListener("click", turn);
at("tasks-show").addEventListener("change", turn);
begin(refreshAll);
useKey().then(openFromHash);
addEventListener("click", fetchFile);
setInterval(() => refreshAll(++ticks % SLOW === 0), REFRESH_MS);
