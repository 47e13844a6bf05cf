// The threshold slider: the share kept from the histogram's counts at once, then the exact share and
// the pictures next to the line from the server. Text goes in as text, never as HTML.
"use strict";

const STEPS = 1000;
const PAUSE_MS = 120;

function sheet(cards, column) {
  const box = document.createElement("div");
  box.className = "sheet";
  box.append(...cards.map((card) => figure(card, column)));
  return box;
}

function figure(card, column) {
  const box = document.createElement("figure");
  const link = document.createElement("a");
  const where = `${encodeURIComponent(card.uid)}?at=${encodeURIComponent(card.at)}`;
  link.href = `/sample/${where}`;
  const image = document.createElement("img");
  image.loading = "lazy";
  image.alt = "";
  image.src = `/picture/${where}`;
  link.append(image);
  const caption = document.createElement("figcaption");
  caption.textContent = card.caption;
  const value = document.createElement("small");
  value.textContent = `${column} ${Number(card.values[column]).toPrecision(5)}`;
  caption.append(value);
  box.append(link, caption);
  return box;
}

// Samples with the threshold or more, between two edges as if they were spread evenly.
function estimate(edges, atOrAbove, threshold) {
  if (threshold <= edges[0]) return atOrAbove[0];
  const last = edges.length - 1;
  if (threshold >= edges[last]) return atOrAbove[last];
  const width = (edges[last] - edges[0]) / last;
  const bin = Math.min(last - 1, Math.floor((threshold - edges[0]) / width));
  const part = (threshold - edges[bin]) / width;
  return atOrAbove[bin] + (atOrAbove[bin + 1] - atOrAbove[bin]) * part;
}

function thresholdPage(root) {
  const { column } = root.dataset;
  const edges = JSON.parse(root.dataset.edges);
  const atOrAbove = JSON.parse(root.dataset.atOrAbove);
  const known = Number(root.dataset.known);
  const [low, high] = [edges[0], edges[edges.length - 1]];
  const slider = document.getElementById("slider");
  const number = document.getElementById("threshold");
  const share = document.getElementById("share");
  let timer = 0;
  let asked = 0;

  function say(count, state) {
    const percent = known ? (100 * count) / known : 0;
    share.textContent = `${percent.toFixed(2)} % (${Math.round(count).toLocaleString("en")})`;
    share.dataset.state = state;
  }

  function draw(threshold) {
    const x = 800 * Math.min(1, Math.max(0, (threshold - low) / (high - low)));
    const line = document.getElementById("line");
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    const fields = { where: `${column} >= ${threshold}`, sort: column, descending: "false" };
    document.getElementById("as-sql").href = `/sql?${new URLSearchParams(fields)}`;
  }

  async function refine(threshold) {
    asked += 1;
    const mine = asked;
    const answer = await fetch(`/api/around?${new URLSearchParams({ column, threshold })}`);
    const found = await answer.json();
    if (mine !== asked) return;
    if (!answer.ok) {
      share.textContent = found.error;
      return;
    }
    say(found.at_or_above_threshold, "exact");
    for (const side of ["above", "below"]) {
      document.getElementById(side).replaceChildren(sheet(found[side], column.toLowerCase()));
    }
  }

  function change(threshold) {
    if (!Number.isFinite(threshold)) return;
    say(estimate(edges, atOrAbove, threshold), "estimated");
    draw(threshold);
    clearTimeout(timer);
    timer = setTimeout(() => refine(threshold), PAUSE_MS);
  }

  function place(threshold) {
    slider.value = Math.round((STEPS * (threshold - low)) / (high - low));
  }

  slider.addEventListener("input", () => {
    const threshold = low + ((high - low) * Number(slider.value)) / STEPS;
    number.value = Number(threshold.toPrecision(6));
    change(Number(number.value));
  });
  number.addEventListener("input", () => {
    place(number.valueAsNumber);
    change(number.valueAsNumber);
  });
  place(number.valueAsNumber);
  draw(number.valueAsNumber);
}

const histogram = document.getElementById("histogram");
if (histogram) thresholdPage(histogram);
