"use strict";

const byId = (id) => document.getElementById(id);
const say = (text, bad = false) => {
  byId("status").textContent = text;
  byId("status").classList.toggle("bad", bad);
};
const percent = (share) => `${(100 * share).toFixed(share > 0.999 ? 2 : 1)} %`;
let models = [];

async function loadModels() {
  models = await (await fetch("models")).json();
  const chosen = byId("model");
  chosen.append(new Option("by itself", ""));
  for (const model of models) {
    const what = `${model.num_characters} characters`;
    chosen.append(new Option(`${model.name} (${what})`, model.name));
  }
}

function query(decoder) {
  const words = { characters: true, probabilities: true, ...decoder };
  for (const id of ["model", "length", "allow"]) {
    if (byId(id).value.trim()) words[id] = byId(id).value.trim();
  }
  return new URLSearchParams(words);
}

async function read(files) {
  const pictures = [...files];
  if (!pictures.length) return;
  say(`reading ${pictures.length === 1 ? pictures[0].name : `${pictures.length} pictures`} ...`);
  const started = performance.now();
  for (const file of pictures) {
    const form = new FormData();
    form.append("files", file, file.name || "pasted.png");
    try {
      const answer = await fetch(`predict?${query({ decoder: "beam", n_best: 5 })}`, {
        method: "POST", body: form, headers: { "X-API-Key": byId("key").value },
      });
      const found = await answer.json();
      if (answer.status === 401) askForKey();
      if (answer.ok) show(file, found.results[0], found.milliseconds);
      else showError(file, found.message);
    } catch (error) {
      showError(file, `the service does not answer (${error.message})`);
    }
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  if (!byId("status").classList.contains("bad")) say(`done in ${seconds} s`);
}

function askForKey() {
  byId("locked").hidden = false;
  byId("key").focus();
}

function newCard(file) {
  const card = byId("card").content.firstElementChild.cloneNode(true);
  card.querySelector("h2").textContent = file.name || "pasted picture";
  const image = card.querySelector("img");
  image.src = URL.createObjectURL(file);
  image.alt = file.name || "pasted picture";
  byId("results").prepend(card);
  return card;
}

function showError(file, message) {
  const card = newCard(file);
  for (const name of [".picture", ".confidence", ".more", ".text"]) card.querySelector(name).remove();
  card.querySelector(".error").hidden = false;
  card.querySelector(".error").textContent = message;
  say(message, true);
}

function show(file, found, milliseconds) {
  say("");
  const card = newCard(file);
  const text = card.querySelector(".text");
  text.textContent = found.text;
  if (!found.fits) text.textContent = "(no text that is allowed fits)";
  card.querySelector("meter").value = found.confidence;
  card.querySelector(".confidence span").textContent = `${percent(found.confidence)} confidence`;
  card.querySelector("img").alt = `${file.name}, read as ${found.text}`;
  const down = models.some((m) => m.name === found.model && m.direction === "vertical");
  const marks = card.querySelector(".marks");
  card.querySelector(".picture").classList.toggle("down", down);
  const [start, size] = down ? ["top", "height"] : ["left", "width"];
  for (const character of found.characters) {
    const mark = document.createElement("span");
    mark.dataset.text = character.text;
    mark.style[start] = `${100 * character.left}%`;
    mark.style[size] = `${100 * (character.right - character.left)}%`;
    marks.append(mark);
  }
  for (const other of found.alternatives) {
    const line = document.createElement("li");
    line.textContent = `${other.text}  ${percent(other.confidence)}`;
    card.querySelector(".others").append(line);
  }
  drawSteps(card.querySelector(".steps"), found.steps);
  card.querySelector(".facts").textContent =
    `${found.width} x ${found.height} pixels, ${found.model}, ${milliseconds.toFixed(1)} ms`;
}

/* A row for each character that is likely somewhere, a column for each time step. */
function drawSteps(canvas, steps) {
  const most = new Map();
  steps.forEach((step) => step.likeliest.forEach(({ text, confidence }) => {
    if (text && confidence > 0.05) most.set(text, Math.max(most.get(text) ?? 0, confidence));
  }));
  const firstStep = (text) => steps.findIndex((step) =>
    step.likeliest.some((each) => each.text === text && each.confidence > 0.05));
  const rows = [...most.keys()].sort((a, b) => firstStep(a) - firstStep(b));
  const [cell, side] = [14, 24];
  canvas.width = side + cell * steps.length;
  canvas.height = cell * Math.max(rows.length, 1);
  canvas.setAttribute("aria-label",
    `probabilities of ${rows.join(", ") || "no character"} over ${steps.length} time steps`);
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  pen.font = "12px ui-monospace, monospace";
  rows.forEach((text, row) => {
    pen.globalAlpha = 1;
    pen.fillStyle = getComputedStyle(canvas).color;
    pen.fillText(text, 4, cell * row + 11);
    pen.fillStyle = style.getPropertyValue("--accent");
    steps.forEach((step, column) => {
      const found = step.likeliest.find((each) => each.text === text);
      pen.globalAlpha = found ? found.confidence : 0;
      pen.fillRect(side + cell * column, cell * row, cell - 1, cell - 1);
    });
  });
}

async function drawSample() {
  const headers = { "X-API-Key": byId("key").value };
  const answer = await fetch("sample", { cache: "no-store", headers });
  if (answer.status === 401) askForKey();
  if (!answer.ok) return say((await answer.json()).message, true);
  const name = `sample ${decodeURIComponent(answer.headers.get("X-Text"))}.png`;
  return read([new File([await answer.blob()], name, { type: "image/png" })]);
}

byId("form").addEventListener("submit", (event) => event.preventDefault());
byId("files").addEventListener("change", async (event) => {
  await read(event.target.files);
  event.target.value = "";
});
byId("sample").addEventListener("click", drawSample);
document.addEventListener("paste", (event) => read(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  read(event.dataTransfer.files);
});
loadModels().catch(() => say("the service does not answer", true));
