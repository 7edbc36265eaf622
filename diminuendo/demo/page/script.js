// The page: what was given, what every model heard, and where the models come from.

import { Microphone, inWords } from "./microphone.js";
import { get, post, sound } from "./server.js";
import { Waveform } from "./waveform.js";
import { compare, element, follow, textOf, wordItem } from "./words.js";

const LARGEST = 25e6; // bytes, as in the server
const find = (id) => document.getElementById(id);
const waveform = new Waveform(find("waveform"));
const player = find("player");
let models = [];
let views = []; // for each model: its list of words, its line of figures, the words in it
let microphone = null;
let playable = false; // whether the player has begun to play what it has
let turn = 0; // counts what was given, so that a late answer does not replace a newer one

const state = (name) => { document.body.dataset.state = name; };

function size(bytes) {
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(2)} MB`;
  return bytes >= 1e3 ? `${(bytes / 1e3).toFixed(0)} kB` : `${bytes} bytes`;
}

function problem(message) {
  find("problem").textContent = message;
  find("problem").hidden = !message;
  if (message) state("problem");
}

function begin(source) {
  turn += 1;
  problem("");
  player.pause();
  URL.revokeObjectURL(player.src);
  player.removeAttribute("src");
  player.load(); // lets go of the last recording
  playable = false;
  waveform.clear();
  find("play").hidden = true;
  find("said").hidden = true;
  find("spoken").textContent = "";
  find("source").textContent = source;
  for (const view of views) show(view, [], null, "");
  return turn;
}

function show(view, words, figures, nothing) {
  view.words = words;
  view.items = words.map(wordItem);
  view.list.replaceChildren(...view.items);
  view.list.hidden = !words.length;
  view.empty.hidden = Boolean(words.length);
  view.empty.textContent = nothing;
  if (figures) {
    const { seconds, work } = figures;
    const factor = seconds ? work / seconds : 0;
    view.speed.replaceChildren(
      element("span", {}, element("b", { textContent: `${seconds.toFixed(2)} s` }), " of sound"),
      element("span", {}, element("b", { textContent: `${(1000 * work).toFixed(1)} ms` }), " of work"),
      element("span", { title: "Seconds of work for a second of sound" }, "real-time factor ",
        element("b", { textContent: factor.toPrecision(2) })),
      ...(factor ? [element("span", {}, element("b", { textContent: `${Math.round(1 / factor).toLocaleString("en")} ×` }), " faster than speech")] : []));
  } else view.speed.replaceChildren();
}

// ---- recordings

async function hear(source, request, audio) {
  if (microphone) await stopMicrophone();
  const mine = begin(source);
  state("hearing");
  try {
    const answer = await request();
    if (mine !== turn) return;
    const said = answer.said ? answer.said.split(" ") : null;
    const first = answer.models[0].words;
    const texts = first.map((word) => word.text);
    answer.models.forEach(({ words, work }, index) => {
      const missed = said ? compare(said, words, "said") : index ? compare(texts, words, models[0].name) : [];
      if (said && index === 0) showSaid(said, missed);
      show(views[index], words, { seconds: answer.seconds, work }, "No word was heard in this.");
    });
    waveform.show(answer.peaks, answer.seconds, first.map((word) => word.start));
    find("spoken").textContent = textOf(first);
    const heard = await audio();
    if (mine !== turn) return;
    player.src = URL.createObjectURL(heard);
    find("play").hidden = false;
    state("done");
    find("problem").textContent = answer.remarks.map((remark) => `The recording: ${remark}.`).join(" ");
    find("problem").hidden = !answer.remarks.length;
    player.play().catch(() => {}); // a browser may want a click first; the button is there
  } catch (error) {
    if (mine === turn) problem(error.message);
  }
}

function showSaid(said, missed) {
  const words = said.flatMap((word, index) => [" ", element("span", { className: missed.includes(index) ? "missed" : "", textContent: word })]);
  find("said").replaceChildren("Said:", ...words);
  find("said").hidden = false;
}

function hearFile(file) {
  if (file.size > LARGEST) {
    begin(file.name);
    problem(`${file.name}: ${size(file.size)}, and ${size(LARGEST)} is the most that this page takes; \`diminuendo transcribe\` has no limit.`);
    return;
  }
  const headers = { "X-File-Name": encodeURIComponent(file.name) };
  hear(file.name, () => post("api/transcribe", { body: file, headers }), () => file);
}

function hearSample(sample) {
  hear(sample.title, () => post(`api/sample/${sample.file}`), () => sound(`api/sample/${sample.file}`));
}

/** The player is at `seconds`. Words to come are faint while it plays: who has stopped it wants to read them. */
function place(seconds) {
  waveform.moveTo(seconds);
  for (const view of views) follow(view.items, view.words, player.paused ? null : seconds);
}

function tick() {
  if (player.paused) return;
  place(player.currentTime);
  requestAnimationFrame(tick);
}

player.addEventListener("play", () => {
  find("play").classList.add("playing");
  find("play").setAttribute("aria-label", "Pause");
  tick();
});
player.addEventListener("pause", () => {
  find("play").classList.remove("playing");
  find("play").setAttribute("aria-label", "Play");
  place(player.ended ? null : player.currentTime);
});
player.addEventListener("canplay", () => { playable = true; });
player.addEventListener("error", () => {
  place(null);
  if (playable) player.load(); // it failed on its way to another place; it can begin anew
  else find("play").hidden = true; // a model can hear what a browser cannot play
  playable = false;
});
find("play").addEventListener("click", () => (player.paused ? player.play().catch(() => {}) : player.pause()));
find("waveform").addEventListener("click", (event) => {
  if (find("play").hidden || !waveform.seconds) return;
  const box = event.currentTarget.getBoundingClientRect();
  player.currentTime = ((event.clientX - box.left) / box.width) * waveform.seconds;
  place(player.currentTime);
});

// ---- microphone

async function startMicrophone() {
  const mine = begin("microphone");
  const final = models.map(() => []);
  const opened = new Microphone({
    onlevel: (samples) => { if (mine === turn) waveform.addLevel(samples, opened.context.sampleRate); },
    onheard: ({ seconds, models: heard }) => {
      if (mine !== turn) return;
      heard.forEach(({ words, provisional, work }, index) => {
        final[index].push(...words);
        const unsettled = provisional.map((word) => ({ ...word, provisional: true }));
        show(views[index], [...final[index], ...unsettled], { seconds, work }, "Listening…");
        if (words.length && index === 0) find("spoken").textContent = textOf(final[0]);
      });
    },
    onlost: (error) => { microphoneIs(false); microphone = null; problem(error.message); },
  });
  find("microphone").disabled = true;
  try {
    await opened.start();
    microphone = opened;
    microphoneIs(true);
    for (const view of views) show(view, [], null, "Listening…");
    state("listening");
  } catch (error) {
    problem(inWords(error));
  } finally {
    find("microphone").disabled = false;
  }
}

async function stopMicrophone() {
  const stopped = microphone;
  microphone = null;
  microphoneIs(false);
  try {
    await stopped.stop();
    for (const view of views) if (!view.words.length) view.empty.textContent = "No word was heard.";
    if (!stopped.lost) state("done");
  } catch (error) {
    problem(error.message);
  }
}

function microphoneIs(open) {
  find("microphone").setAttribute("aria-pressed", String(open));
  find("microphone-label").textContent = open ? "Stop" : "Speak";
  find("microphone-hint").textContent = open ? "Listening. Dashed words may still change." : "Words appear as you say them.";
}

find("microphone").addEventListener("click", () => (microphone ? stopMicrophone() : startMicrophone()));

// ---- files

find("file").addEventListener("change", ({ target }) => {
  if (target.files.length) hearFile(target.files[0]);
  target.value = ""; // so that the same file may be chosen again
});
let inside = 0; // dragging into an element inside the page leaves the one around it
addEventListener("dragenter", () => { inside += 1; document.body.classList.add("dropping"); });
addEventListener("dragleave", () => { inside -= 1; if (inside <= 0) { inside = 0; document.body.classList.remove("dropping"); } });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("dropping");
  if (models.length && event.dataTransfer.files.length) hearFile(event.dataTransfer.files[0]);
});

// ---- models and samples

function sizes(model) {
  const ratio = models[0].bytes / model.bytes;
  return size(model.bytes) + (ratio >= 1.05 ? `, ${ratio.toFixed(ratio < 10 ? 1 : 0)} × smaller` : "");
}

function viewOf(model) {
  const view = {
    list: element("ol", { className: "words", hidden: true, ariaLabel: `Words that ${model.name} heard` }),
    speed: element("p", { className: "speed" }),
    empty: element("p", { className: "empty", textContent: "Nothing yet. Speak, drop a recording or take a sample." }),
    words: [],
    items: [],
  };
  const title = models.length > 1 ? [element("h3", { textContent: model.name }, " ", element("small", { textContent: sizes(model) }))] : [];
  view.node = element("div", { className: "transcript" }, ...title, view.empty, view.list, view.speed);
  return view;
}

function factsOf(model) {
  const steps = model.steps.map((step) => element("li", {}, element("b", { textContent: step.name }), `${step.made} `,
    element("br"), element("code", { textContent: step.digest, title: "SHA-256 of the file begins so" })));
  const rows = [
    ["file", element("code", { textContent: model.file })],
    ["size", `${size(model.bytes)} (${model.bytes.toLocaleString("en")} bytes)`],
    ["weights", model.parameters?.toLocaleString("en")],
    ["trained on", model.trained_on],
    ["sound", `${(model.sample_rate / 1000).toLocaleString("en")} kHz`],
    ["SHA-256", element("code", { textContent: model.digest })],
  ].filter(([, value]) => value);
  return element("div", { className: "facts" },
    ...(models.length > 1 ? [element("h3", { textContent: model.name })] : []),
    element("ol", { className: "steps", ariaLabel: "Steps from the first model to this file" }, ...steps),
    element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", {}, value)])));
}

function sampleButton(sample) {
  const button = element("button", { type: "button" });
  button.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 4v16l14-8z"/></svg>';
  button.append(sample.title);
  button.addEventListener("click", () => hearSample(sample));
  return button;
}

function knowsOf(model) {
  const words = model.words.flatMap((word, index) => [index ? " " : "", element("b", { textContent: word })]);
  return ["It knows ten words: ", ...words, ". Anything else, and noise, is heard as one of them, often with less confidence."];
}

try {
  const facts = await get("api/models");
  models = facts.models;
  views = models.map(viewOf);
  find("transcripts").replaceChildren(...views.map((view) => view.node));
  find("about").replaceChildren(...models.map(factsOf));
  find("samples").replaceChildren(...facts.samples.map(sampleButton));
  find("tagline").textContent = models.length > 1
    ? `${models.length} speech recognisers side by side, on this machine`
    : `A speech recogniser of ${size(models[0].bytes)}, on this machine`;
  const known = models.find((model) => model.words);
  if (known && models.length === 1) {
    find("knows").replaceChildren(...knowsOf(known));
    find("knows").hidden = false;
  }
  find("credit").hidden = false;
  find("microphone").disabled = find("file").disabled = false;
  state("ready");
} catch (error) {
  problem(error.message);
}
