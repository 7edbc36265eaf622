// The controls, and what they show.
const STEP = 20; // utterances that are listed at a time
const LINES = 6; // values of a key
const CONFUSIONS = 12;
const at = (id) => document.getElementById(id);
const start = { a: 0, b: data.smallest, show: "worse", order: "largest change", words: "", confusion: null, sorted: "growth" };
const nothing = () => data.filters.map(() => null);
let state = { ...start, groups: nothing(), listed: STEP, allConfusions: false };

// The state is kept in the address, so that a view can be kept and sent.
function toAddress() {
  const told = new URLSearchParams({ from: data.members[state.a].name, to: data.members[state.b].name });
  for (const key of ["show", "order", "words", "confusion"]) {
    if (state[key] && state[key] !== start[key]) told.set(key, state[key]);
  }
  data.filters.forEach(({ key, values }, index) => {
    if (state.groups[index] !== null) told.set(`by.${key}`, values[state.groups[index]]);
  });
  try {
    history.replaceState(null, "", `#${told}`);
  } catch {
    // A page inside another, such as MLflow's, may have no address of its own.
  }
}

function fromAddress() {
  const told = new URLSearchParams(location.hash.slice(1));
  const member = (key, otherwise) => {
    const found = data.members.findIndex(({ name }) => name === told.get(key));
    return found < 0 ? otherwise : found;
  };
  const one = (key, of) => (of.includes(told.get(key)) ? told.get(key) : start[key]);
  state = { ...state, a: member("from", start.a), b: member("to", start.b), show: one("show", Object.keys(NAMES)) };
  state.order = one("order", Object.keys(ORDERS));
  state.words = told.get("words") ?? "";
  state.confusion = isConfusion(told.get("confusion")) ? told.get("confusion") : null;
  state.groups = data.filters.map(({ key, values }) => {
    const found = values.indexOf(told.get(`by.${key}`));
    return found < 0 ? null : found;
  });
}

function isConfusion(text) {
  try {
    const [letter, ...words] = JSON.parse(text);
    return "SDI".includes(letter) && words.length === 2 && words.every((word) => typeof word === "string");
  } catch {
    return false;
  }
}

function change(values) {
  state = { ...state, listed: STEP, ...values };
  toAddress();
  draw();
}

function choices(select, options, chosen, changed) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
  select.value = chosen;
  select.onchange = () => changed(select.value);
}

function drawSelects() {
  const members = data.members.map(({ name, size }, index) => [String(index), `${name} · ${size}`]);
  choices(at("a"), members, String(state.a), (value) => change({ a: Number(value) }));
  choices(at("b"), members, String(state.b), (value) => change({ b: Number(value) }));
  choices(at("order"), Object.keys(ORDERS).map((name) => [name, name]), state.order, (order) => change({ order }));
  data.filters.forEach(({ key, values }, index) => {
    const select = at(`by-${index}`);
    const options = [["", "any"], ...values.map((value, place) => [String(place), value])];
    choices(select, options, state.groups[index] === null ? "" : String(state.groups[index]), (value) =>
      change({ groups: state.groups.map((old, place) => (place === index ? (value === "" ? null : Number(value)) : old)) }));
  });
  if (at("words") !== document.activeElement) at("words").value = state.words;
}

function drawChosen() {
  const clear = (text, values) => {
    const button = element("button", { type: "button", class: "chip" }, ...text, element("span", { "aria-hidden": "true" }, " ✕"));
    button.setAttribute("aria-label", `Without the filter ${button.textContent.replace(" ✕", "")}`);
    button.onclick = () => change(values);
    return button;
  };
  const chips = [];
  if (state.confusion) {
    const [letter, from, to] = JSON.parse(state.confusion);
    chips.push(clear(confusionText({ letter, from, to }), { confusion: null }));
  }
  data.filters.forEach(({ key, values }, index) => {
    if (state.groups[index] === null) return;
    chips.push(clear([`${key}: ${values[state.groups[index]]}`], { groups: state.groups.map((old, i) => (i === index ? null : old)) }));
  });
  if (state.words) chips.push(clear([`“${state.words}”`], { words: "" }));
  at("chosen").hidden = !chips.length;
  at("chosen").replaceChildren(...chips);
}

function drawKinds(sums) {
  const share = (kind) => {
    const part = element("span", { class: kind });
    part.style.flexGrow = sums[kind];
    return part;
  };
  at("shares").replaceChildren(...KINDS.filter((kind) => sums[kind]).map(share));
  at("kinds").replaceChildren(...[...KINDS, "all"].map((kind) => {
    const count = kind === "all" ? sums.count : sums[kind];
    const button = element("button", { type: "button", class: `kind ${kind}`, "aria-pressed": String(state.show === kind), "data-kind": kind },
      element("strong", {}, String(count)), element("span", {}, NAMES[kind]));
    button.onclick = () => change({ show: kind });
    return button;
  }));
}

// Which of the values of a key are listed, where not all are.
function toldOf(losers, all) {
  const which = losers === LINES ? `the ${LINES} of ${all} with most ${data.unit} lost`
    : losers ? `the ${losers} of ${all} with ${data.unit} lost` : `none of ${all} lost ${data.unit}`;
  return element("small", { class: "soft" }, `, ${which}`);
}

function drawGroups() {
  const found = data.filters.map(({ values }, index) => {
    const inside = values.map(() => []);
    for (const utterance of passing(state, index)) inside[utterance.groups[index]].push(utterance);
    return inside.map((utterances, place) => ({ place, sums: tally(utterances, state.a, state.b) })).filter(({ sums }) => sums.count);
  });
  const lost = ({ sums }) => sums.b - sums.a;
  const points = ({ sums }) => (sums.length ? (100 * (sums.b - sums.a)) / sums.length : 0);
  // Of many values those that lost; the one that is chosen stays, as it is pressed again to let it go.
  const losers = (lines, index) => {
    const worst = lines.filter((line) => lost(line) > 0).sort((one, other) => lost(other) - lost(one)).slice(0, LINES);
    return lines.filter((line) => worst.includes(line) || line.place === state.groups[index])
      .sort((one, other) => points(other) - points(one));
  };
  const shown = found.map((lines, index) => (lines.length <= LINES ? lines : losers(lines, index)));
  const widest = Math.max(0, ...shown.flat().map((line) => Math.abs(points(line))));
  at("groups").replaceChildren(...data.filters.flatMap(({ key, values }, index) => {
    const told = shown[index].length < found[index].length ? toldOf(shown[index].filter((line) => lost(line) > 0).length, found[index].length) : null;
    const title = element("h3", {}, key, told);
    return [title, ...shown[index].map(({ place, sums }) => {
      const pressed = state.groups[index] === place;
      const line = groupLine(values[place], sums, widest, pressed);
      line.onclick = () => change({ groups: state.groups.map((old, i) => (i === index ? (pressed ? null : place) : old)) });
      return line;
    })];
  }));
}

function drawConfusions(utterances) {
  const growth = (one) => one.b - one.a;
  const sorted = { growth, "second member": (one) => one.b, "first member": (one) => one.a };
  const by = sorted[state.sorted];
  const found = confusionsOf(utterances, state.a, state.b).sort((one, other) =>
    by(other) - by(one) || other.b - one.b || other.a - one.a || (one.key < other.key ? -1 : 1));
  const most = Math.max(1, ...found.map(({ a, b }) => Math.max(a, b)));
  const select = element("select", { id: "sorted" });
  const names = { growth: "what grew most", "second member": `most of ${data.members[state.b].name}`, "first member": `most of ${data.members[state.a].name}` };
  choices(select, Object.entries(names), state.sorted, (value) => change({ sorted: value }));
  const head = element("div", { class: "line confusion title soft" }, element("label", {}, "first ", select),
    ...[state.a, state.b].map((member) => element("span", { class: "count name", title: data.members[member].name }, data.members[member].name)));
  const shown = state.allConfusions ? found : found.slice(0, CONFUSIONS);
  const lines = shown.map((confusion) => {
    const pressed = state.confusion === confusion.key;
    const line = confusionLine(confusion, state, most, pressed);
    line.onclick = () => change(pressed ? { confusion: null } : { confusion: confusion.key, show: "all" });
    return line;
  });
  const rest = element("button", { type: "button", class: "more", hidden: found.length <= shown.length }, `All ${found.length}`);
  rest.onclick = () => change({ allConfusions: true });
  const none = found.length ? null : element("p", { class: "soft" }, "Neither makes an error here.");
  at("confusions").replaceChildren(...[head, ...lines, none, rest].filter((part) => part));
}

function drawList(utterances) {
  const wanted = utterances.filter((one) => state.show === "all" || kindOf(one, state.a, state.b) === state.show);
  const place = new Map(data.utterances.map((utterance, index) => [utterance, index]));
  const key = ORDERS[state.order](state);
  const sorted = wanted.map((one) => [key(one), place.get(one)]).sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  at("list-title").textContent = `${many(wanted.length, "utterance")}: ${NAMES[state.show]}`;
  at("list").replaceChildren(...sorted.slice(0, state.listed).map(([, index]) => cardOf(index, state)));
  const left = sorted.length - state.listed;
  at("more").hidden = left <= 0;
  at("more").textContent = `Show ${Math.min(STEP, left)} more of ${left}`;
}

function draw() {
  sound.pause();
  const focus = focused();
  const utterances = passing(state);
  const sums = tally(utterances, state.a, state.b);
  drawSelects();
  drawChosen();
  at("verdict").replaceChildren(...verdictOf(sums, state));
  drawKinds(sums);
  drawGroups();
  drawConfusions(utterances);
  drawList(utterances);
  focus();
}

// Buttons are drawn anew; the keyboard stays where it was.
function focused() {
  const active = document.activeElement;
  const home = active?.closest("#kinds, #groups, #confusions, #chosen");
  if (!home) return () => {};
  const place = [...home.querySelectorAll("button, select")].indexOf(active);
  return () => {
    const buttons = [...home.querySelectorAll("button, select")];
    (buttons[Math.min(place, buttons.length - 1)] ?? at("words")).focus({ preventScroll: true });
  };
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range]), select")) return;
  const cards = [...at("list").children];
  const here = cards.indexOf(document.activeElement.closest(".utterance"));
  if (event.key === "p" && here >= 0) cards[here].querySelector(".play")?.click();
  const next = { j: here + 1, k: here - 1 }[event.key];
  if (next !== undefined && cards[next]) {
    cards[next].focus();
    cards[next].scrollIntoView({ block: "nearest" });
  }
}

function begin() {
  const select = (key, index) => element("label", {}, key.replaceAll("_", " "), element("select", { id: `by-${index}` }));
  const words = element("input", { id: "words", type: "search", placeholder: "words or id", autocomplete: "off", spellcheck: "false" });
  words.addEventListener("input", () => change({ words: words.value }));
  at("selects").append(...data.filters.map(({ key }, index) => select(key, index)), element("label", {}, "with", words));
  at("swap").onclick = () => change({ a: state.b, b: state.a });
  at("more").onclick = () => {
    const next = state.listed;
    change({ listed: state.listed + STEP });
    at("list").children[next]?.focus();
  };
  at("leaderboard").hidden = !location.protocol.startsWith("file") && !location.protocol.startsWith("http");
  if (matchMedia("(max-width: 720px)").matches) at("where").open = at("confused").open = false;
  addEventListener("hashchange", () => { fromAddress(); draw(); });
  addEventListener("keydown", onKey);
  fromAddress();
  const first = tally(data.utterances, state.a, state.b);
  if (!location.hash && !first.worse) state.show = "all";
  draw();
}

begin();
