"use strict";
// The page builds its fields from /about, sends them as a form to /predict, and draws the answer.
const fields = document.getElementById("fields");
const answer = document.getElementById("answer");
const key = document.getElementById("key");
const access = document.getElementById("access");
const recorded = new Map(); // column → a recording or a dropped file, which an <input> cannot hold
let columns = {};

function make(tag, options = {}, ...children) {
  const { attributes = {}, ...properties } = options;
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function headers() {
  return key.value ? { "X-API-Key": key.value } : {};
}

async function begin() {
  access.hidden = true;
  const reply = await fetch("/about", { headers: headers() }).catch(() => null);
  if (reply && reply.status === 401) {
    access.hidden = false;
    access.open = true;
    fields.replaceChildren(make("p", { textContent: "Enter the key first." }));
    return;
  }
  if (!reply || !reply.ok) { // the model is still being loaded
    fields.replaceChildren(make("p", { textContent: "The model is being loaded …" }));
    setTimeout(begin, 1000);
    return;
  }
  access.hidden = !key.value;
  columns = (await reply.json()).columns;
  fields.replaceChildren(...Object.entries(columns).map(([name, kind], i) => field(name, kind, `f${i}`)));
}

function field(name, kind, id) {
  const box = make("fieldset", {}, make("legend", { textContent: name }));
  if (kind === "image" || kind === "audio") box.append(fileField(name, kind, id));
  else if (kind === "text") {
    box.append(make("textarea", { id, name, rows: 3, ariaLabel: name }));
  } else {
    box.append(make("input", { id, name, type: "text", ariaLabel: name,
      attributes: kind === "number" ? { inputmode: "decimal" } : {} }));
  }
  return box;
}

function fileField(name, kind, id) {
  const what = kind === "image" ? "picture" : "recording";
  const input = make("input", { id, name, type: "file", ariaLabel: `Choose a ${what} for ${name}`,
    accept: kind === "image" ? "image/*" : "audio/*,.flac,.aiff,.au" });
  const shown = make("div", { className: "shown" });
  const drop = make("div", { className: "drop" }, input, shown);
  const show = (file) => {
    for (const old of shown.querySelectorAll("[src]")) URL.revokeObjectURL(old.src);
    shown.replaceChildren();
    if (!file) return;
    const src = URL.createObjectURL(file);
    shown.append(kind === "image"
      ? make("img", { src, alt: `the picture you chose, ${file.name}` })
      : make("audio", { src, controls: true, ariaLabel: `the recording you chose, ${file.name}` }));
  };
  input.addEventListener("change", () => { recorded.delete(name); show(input.files[0]); });
  const take = (file) => { input.value = ""; recorded.set(name, file); show(file); };
  for (const kindOf of ["dragenter", "dragover"]) {
    drop.addEventListener(kindOf, (e) => { e.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (e) => {
    e.preventDefault();
    drop.classList.remove("over");
    if (e.dataTransfer.files[0]) take(e.dataTransfer.files[0]);
  });
  document.getElementById("form").addEventListener("reset", () => { recorded.delete(name); show(null); });
  if (kind === "audio" && navigator.mediaDevices) drop.prepend(recordButton(take), " or ");
  return drop;
}

// ---- recording: samples are taken from the microphone and written as a WAV file

function recordButton(take) {
  const button = make("button", { type: "button", textContent: "Record", ariaPressed: "false" });
  let stop = null;
  button.addEventListener("click", async () => {
    if (stop) { take(stop()); stop = null; button.textContent = "Record"; button.ariaPressed = "false"; return; }
    try {
      stop = await record();
      button.textContent = "Stop recording";
      button.ariaPressed = "true";
    } catch (error) {
      say(`The microphone cannot be used: ${error.message}`);
    }
  });
  return button;
}

async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext();
  const source = context.createMediaStreamSource(stream);
  const node = context.createScriptProcessor(4096, 1, 1);
  const blocks = [];
  node.onaudioprocess = (e) => blocks.push(new Float32Array(e.inputBuffer.getChannelData(0)));
  source.connect(node);
  node.connect(context.destination);
  return () => {
    node.disconnect();
    source.disconnect();
    for (const track of stream.getTracks()) track.stop();
    context.close();
    return new File([wav(blocks, context.sampleRate)], "recording.wav", { type: "audio/wav" });
  };
}

function wav(blocks, rate) {
  const length = blocks.reduce((n, block) => n + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.max(-1, Math.min(1, sample)) * 32767, true);
      at += 2;
    }
  }
  return view.buffer;
}

// ---- asking

document.getElementById("form").addEventListener("submit", async (e) => {
  e.preventDefault();
  if (!Object.keys(columns).length) { await begin(); if (!Object.keys(columns).length) return; }
  const body = new FormData(e.target);
  for (const [name, file] of recorded) body.set(name, file, file.name);
  say("Asking …");
  let reply, told;
  try {
    reply = await fetch("/predict", { method: "POST", body, headers: headers() });
    told = await reply.json();
  } catch (error) {
    say("The service cannot be reached.", true);
    return;
  }
  if (reply.status === 401) { access.hidden = false; access.open = true; }
  if (reply.ok) draw(told.predictions[0]);
  else say([told.error, ...(told.problems || []).map((p) => `${p.column ? `${p.column}: ` : ""}${p.reason}`)].join("\n"), true);
});
document.getElementById("form").addEventListener("reset", () => answer.replaceChildren());
key.addEventListener("change", begin);

function say(text, bad = false) {
  answer.replaceChildren(...text.split("\n").map((line) => make("p", { textContent: line, className: bad ? "bad" : "" })));
}

function percent(share) {
  return share > 0.9995 ? ">99.9%" : share < 0.0005 ? "<0.1%" : `${(100 * share).toFixed(1)}%`;
}

function draw(told) {
  const order = Object.entries(told.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 12);
  const rows = order.map(([name, share]) => {
    const fill = make("div", { className: "fill" });
    fill.style.width = `${100 * share}%`;
    return make("tr", {}, make("th", { scope: "row", textContent: name }),
      make("td", {}, make("div", { className: "track", attributes: { "aria-hidden": "true" } }, fill)),
      make("td", { className: "share", textContent: percent(share) }));
  });
  const parts = [make("h2", { textContent: told.prediction }), make("table", {}, make("tbody", {}, ...rows))];
  if (told.absent.length) {
    parts.push(make("p", { className: "quiet", textContent: `Answered without: ${told.absent.join(", ")}.` }));
  }
  answer.replaceChildren(...parts);
  answer.focus();
}

begin();
