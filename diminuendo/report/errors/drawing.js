// Elements from what was counted. Texts become text nodes, never markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const percent = (errors, length) => `${(length ? (100 * errors) / length : 0).toFixed(2)} %`;
// The sign is that of the figure as it is shown: what rounds to zero is neither a gain nor a loss.
const signed = (number, digits = 0) => {
  const shown = Number(number.toFixed(digits));
  return (shown > 0 ? "+" : shown < 0 ? "−" : "±") + Math.abs(number).toFixed(digits);
};
const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const toneOf = (difference) => (difference > 0 ? "bad" : difference < 0 ? "good" : "soft");
const NAMES = {
  worse: "worse",
  better: "better",
  other: "other errors, as many",
  same: "the same errors",
  right: "no errors",
  all: "all",
};
const LETTERS = { "=": "right", S: "heard wrong", D: "missed", I: "added" };
const visible = (text) => (text === " " ? "␣" : text);

function verdictOf(sums, state) {
  const side = (member, errors) =>
    element("div", { class: "side" },
      element("span", { class: "name", title: data.members[member].chain }, data.members[member].name),
      element("strong", {}, percent(errors, sums.length)),
      element("span", { class: "soft" }, many(errors, "error")));
  const points = sums.length ? (100 * (sums.b - sums.a)) / sums.length : 0;
  return [
    side(state.a, sums.a),
    element("div", { class: `change ${toneOf(sums.b - sums.a)}` },
      element("strong", {}, signed(points, 2)),
      element("span", {}, "points")),
    side(state.b, sums.b),
    element("p", { class: "soft of" }, `${data.rate} of ${many(sums.count, "utterance")}, ${many(sums.length, data.unit.slice(0, -1))}`),
  ];
}

// A line for each value of a filter: its errors with both members, and the difference as a bar.
function groupLine(value, sums, widest, pressed) {
  const points = sums.length ? (100 * (sums.b - sums.a)) / sums.length : 0;
  const bar = element("span", { class: `bar ${toneOf(points)}` });
  bar.style.setProperty("--share", widest ? Math.abs(points) / widest : 0);
  return element("button", { type: "button", class: "line group", "aria-pressed": String(pressed) },
    element("span", { class: "value" }, value, element("small", { class: "soft" }, ` ${sums.count}`)),
    element("span", { class: "rates" }, `${percent(sums.a, sums.length)} → ${percent(sums.b, sums.length)}`),
    element("span", { class: "track", "aria-hidden": "true" }, bar),
    element("span", { class: `points ${toneOf(points)}` }, signed(points, 2)));
}

function confusionText({ letter, from, to }) {
  const word = (text, kind) => element("b", { class: `word ${kind}`, dir: "auto" }, visible(text));
  if (letter === "S") return [word(from, "said"), element("span", { class: "arrow" }, "→"), word(to, "S")];
  return [word(letter === "D" ? from : to, letter), element("small", { class: "soft" }, LETTERS[letter])];
}

function confusionLine(confusion, state, most, pressed) {
  const count = (side) => {
    const bar = element("span", { class: `count-bar ${side}` });
    bar.style.setProperty("--share", confusion[side] / most);
    return element("span", { class: "count" }, element("span", { class: "number" }, String(confusion[side])), bar);
  };
  const [a, b] = [data.members[state.a].name, data.members[state.b].name];
  return element("button",
    { type: "button", class: "line confusion", "aria-pressed": String(pressed), title: `${a}: ${confusion.a}, ${b}: ${confusion.b}` },
    element("span", { class: "words" }, ...confusionText(confusion)), count("a"), count("b"));
}

function cellOf(cell, said) {
  if (cell === null) return element("span", { class: "cell" }, "\u00a0");
  const text = cell.letter === "D" ? said : cell.text;
  return element("span", { class: "cell" }, element("span", { class: `word ${cell.letter}` }, cell.letter === "=" ? text : visible(text)));
}

function spokenCell(cell) {
  if (cell === null) return "nothing";
  return cell.letter === "=" ? "right" : cell.letter === "D" ? "missed" : `${cell.text}, ${LETTERS[cell.letter]}`;
}

function alignedOf(utterance, state) {
  const names = ["said", data.members[state.a].name, data.members[state.b].name];
  const labels = element("div", { class: "labels soft", dir: "ltr", "aria-hidden": "true" },
    ...names.map((name) => element("span", { title: name }, name)));
  const columns = columnsOf(utterance, state.a, state.b).map(({ said, a, b }) => {
    const [wrongA, wrongB] = [a !== null && a.letter !== "=", b !== null && b.letter !== "="];
    const mark = wrongA === wrongB ? "" : wrongB ? " lost" : " won";
    const spoken = `${said === null ? "not said" : said}; ${names[1]}: ${spokenCell(a)}; ${names[2]}: ${spokenCell(b)}`;
    return element("div", { class: `column${mark}`, role: "listitem", "aria-label": spoken },
      element("span", { class: "cell said", "aria-hidden": "true" }, said === null ? "\u00a0" : said === " " ? "\u00a0" : said),
      ...[a, b].map((cell) => cellOf(cell, said)));
  });
  return element("div", { class: `aligned${byCharacters ? " tight" : ""}` }, labels,
    element("div", { class: "columns", role: "list", dir: "auto" }, ...columns));
}

function rawOf(utterance, state) {
  if (!utterance.raw) return null;
  const { reference, heard, of } = utterance.raw;
  const line = (name, text) => element("p", {}, element("span", { class: "soft" }, name), element("span", { dir: "auto" }, text || "—"));
  return element("div", { class: "raw", "aria-label": "Texts before the normaliser" }, line("as written", reference),
    ...[state.a, state.b].map((member) => line(data.members[member].name, heard[of[member]])));
}

function cardOf(index, state) {
  const utterance = data.utterances[index];
  const difference = errorsOf(utterance, state.b) - errorsOf(utterance, state.a);
  const errors = `${errorsOf(utterance, state.a)} → ${many(errorsOf(utterance, state.b), "error")}`;
  const groups = data.filters
    .map(({ key, values }, filter) => [key, values[utterance.groups[filter]]])
    .filter(([key, value]) => key !== "length" && value !== "(not stated)")
    .map(([key, value]) => element("span", { class: "tag", title: key }, value));
  return element("article", { class: "card utterance", tabindex: "-1", "aria-label": `${utterance.id}, ${errors}` },
    element("div", { class: "head" },
      utterance.audio ? playerOf(index) : element("span", { class: "soft time" }, `${utterance.seconds.toFixed(1)} s, audio not in this page`),
      element("span", { class: "id soft" }, utterance.id), ...groups,
      element("span", { class: `errors ${toneOf(difference)}` }, errors)),
    utterance.heard ? alignedOf(utterance, state) : element("p", { class: "soft" }, "Its texts are not in this page."),
    rawOf(utterance, state));
}
