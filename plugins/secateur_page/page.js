// The page's behaviour: the chart, the slider over masks, the table that sorts and filters.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const grouped = (number) => number.toLocaleString("en");

// The chart
if (data.chart) {
  data.chart.config.legend.columns = innerWidth < 640 ? 1 : 0;
  await window.vegaEmbed("#chart", data.chart, {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: { theme: "custom" },
  });
  byId("chart").setAttribute("role", "img");
}

// The masks
const unpacked = new Map();

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Each picture is stored as what changes from the one before.
async function picturesOf(index) {
  if (unpacked.has(index)) return unpacked.get(index);
  const { rows, columns, data: text, other, updates } = data.weights[index];
  const length = Math.ceil((rows * columns) / 8);
  const bits = await inflate(text);
  for (let at = length; at < bits.length; at += 1) bits[at] ^= bits[at - length];
  const found = {
    rows, columns, updates, length, bits, other: other ? await inflate(other) : null,
  };
  unpacked.set(index, found);
  return found;
}

const colour = (name) => {
  const text = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
};

function paint(pictures, number, difference) {
  const { rows, columns, length, bits, other } = pictures;
  const canvas = byId("mask");
  canvas.hidden = !rows || !columns;
  if (canvas.hidden) return;
  canvas.width = columns;
  canvas.height = rows;
  fit(canvas, rows, columns);
  const image = new ImageData(columns, rows);
  const colours = ["pruned", "kept", "there", "here"].map(colour);
  const bit = (array, start, at) => (array[start + (at >> 3)] >> (7 - (at & 7))) & 1;
  for (let at = 0; at < rows * columns; at += 1) {
    const kept = bit(bits, number * length, at);
    let which = kept;
    if (difference && other && kept !== bit(other, 0, at)) which = kept ? 3 : 2;
    image.data.set([...colours[which], 255], at * 4);
  }
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
}

// Dots are square where there is room, and higher in flat pictures; without room greys keep the density.
function fit(canvas, rows, columns) {
  const room = canvas.parentElement.clientWidth - 26;
  const size = Math.max(1, Math.min(Math.floor(room / columns) || 1, Math.floor(640 / rows) || 1, 24));
  const width = Math.min(room, columns * size);
  canvas.style.imageRendering = width < columns ? "auto" : "pixelated";
  canvas.style.width = `${width}px`;
  const high = rows * Math.max(1, Math.min(8, Math.floor(160 / rows)));
  canvas.style.height = `${Math.max(rows * (width / columns), high)}px`;
}

let shown = null;
let timer = null;

async function show() {
  const index = Number(byId("weight").value);
  const pictures = await picturesOf(index);
  if (index !== Number(byId("weight").value)) return;
  const slider = byId("step");
  const last = pictures.updates.length - 1;
  if (shown !== index) {
    slider.max = last;
    slider.value = last;
    slider.disabled = last === 0;
    byId("play").disabled = last === 0;
    shown = index;
  }
  const number = Number(slider.value);
  const [step, kept, sparsity] = pictures.updates[number];
  const row = document.querySelector(`#weights tr[data-index="${index}"]`);
  const size = Number(row.children[3].dataset.value);
  const words = `step ${grouped(step)}: ${grouped(kept)} of ${grouped(size)} weights stay, sparsity ${sparsity.toFixed(4)}`;
  const name = byId("weight").selectedOptions[0].textContent;
  byId("state").textContent = `${name}, update ${number + 1} of ${last + 1}, ${words}`;
  slider.setAttribute("aria-valuetext", words);
  byId("mask").setAttribute("aria-label", `Mask of ${name} at ${words}`);
  byId("shows").textContent = row.dataset.shows;
  const difference = byId("difference")?.checked ?? false;
  if (byId("legend-difference")) {
    byId("legend").hidden = difference && Boolean(pictures.other);
    byId("legend-difference").hidden = !byId("legend").hidden;
  }
  paint(pictures, number, difference);
  for (const each of document.querySelectorAll("tr.chosen")) each.classList.remove("chosen");
  row.classList.add("chosen");
}

function stop() {
  clearInterval(timer);
  timer = null;
  byId("play").textContent = "Play";
  byId("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (timer) return stop();
  const slider = byId("step");
  if (slider.value === slider.max) slider.value = 0;
  byId("play").textContent = "Pause";
  byId("play").setAttribute("aria-pressed", "true");
  show();
  timer = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    show();
    if (slider.value === slider.max) stop();
  }, Math.max(80, 4000 / (Number(slider.max) + 1)));
  return undefined;
}

if (byId("weight")) {
  byId("weight").addEventListener("change", () => { stop(); show(); });
  byId("step").addEventListener("input", () => { stop(); show(); });
  byId("play").addEventListener("click", play);
  byId("difference")?.addEventListener("change", show);
  byId("weights").addEventListener("click", (event) => {
    const button = event.target.closest(".show");
    if (!button) return;
    stop();
    byId("weight").value = button.dataset.index;
    show();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    byId("masks").scrollIntoView({ behavior: still ? "auto" : "smooth" });
    byId("step").focus({ preventScroll: true });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  matchMedia("print").addEventListener("change", show);
  addEventListener("resize", show);
  await show();
}

// The table
const body = document.querySelector("#weights tbody");
const rows = [...body.rows];
const names = rows.map((row) => row.cells[0].textContent.toLowerCase());
const order = new Intl.Collator("en", { numeric: true }).compare;

function sort(button) {
  const column = Number(button.dataset.key);
  const head = button.parentElement;
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const each of head.parentElement.cells) each.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const isNumber = head.classList.contains("number");
  const compare = (a, b) => (isNumber ? value(a) - value(b) : order(value(a), value(b)));
  body.append(...[...rows].sort((a, b) => (up ? compare(a, b) : compare(b, a))));
}

function filter() {
  const text = byId("filter").value.trim().toLowerCase();
  const kind = byId("kind").value;
  const which = byId("which").value;
  let count = 0;
  rows.forEach((row, number) => {
    row.hidden = !(names[number].includes(text) && (!kind || row.dataset.kind === kind)
      && (!which || row.dataset.which === which));
    count += row.hidden ? 0 : 1;
  });
  const all = count === rows.length;
  byId("count").textContent = all ? `${grouped(count)} weights` : `${grouped(count)} of ${grouped(rows.length)} weights`;
  byId("none").hidden = count > 0;
}

document.querySelector("#weights thead").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) sort(button);
});
for (const id of ["filter", "kind", "which"]) byId(id).addEventListener("input", filter);
document.documentElement.dataset.ready = "true";
