// What is counted: nothing here touches the page.
const data = JSON.parse(document.getElementById("data").textContent);
const byCharacters = data.unit === "characters";
const KINDS = ["worse", "better", "other", "same", "right"];

const tokensOf = (text) => (byCharacters ? Array.from(text) : text === "" ? [] : text.split(" "));
const errorsOf = (utterance, member) => utterance.errors[utterance.of[member]];

// How an utterance changed from member a to member b: one of KINDS.
function kindOf(utterance, a, b) {
  const difference = errorsOf(utterance, b) - errorsOf(utterance, a);
  if (difference) return difference > 0 ? "worse" : "better";
  if (utterance.of[a] !== utterance.of[b]) return "other";
  return errorsOf(utterance, a) ? "same" : "right";
}

// Sums over utterances: their number, length and errors of both members, and how many there are of each kind.
function tally(utterances, a, b) {
  const sums = { count: utterances.length, length: 0, a: 0, b: 0 };
  for (const kind of KINDS) sums[kind] = 0;
  for (const utterance of utterances) {
    sums.length += utterance.length;
    sums.a += errorsOf(utterance, a);
    sums.b += errorsOf(utterance, b);
    sums[kindOf(utterance, a, b)] += 1;
  }
  return sums;
}

// What a member heard, beside the reference: the cell of each of its words, and what was inserted before each and at
// the end. A cell has the letter of its alignment and its text.
function heardBy(utterance, member) {
  const [text, alignment] = utterance.heard[utterance.of[member]];
  const heard = tokensOf(text);
  const cells = [];
  const inserted = [[]];
  let next = 0;
  for (const letter of alignment) {
    if (letter === "I") {
      inserted[inserted.length - 1].push({ letter, text: heard[next++] });
      continue;
    }
    cells.push({ letter, text: letter === "D" ? "" : heard[next++] });
    inserted.push([]);
  }
  return { cells, inserted };
}

// The columns of an utterance from left to right: what was said (null beside an insertion) and the cells of both.
function columnsOf(utterance, a, b) {
  const said = tokensOf(utterance.reference);
  const [first, second] = [heardBy(utterance, a), heardBy(utterance, b)];
  const columns = [];
  for (let place = 0; place <= said.length; place++) {
    const [left, right] = [first.inserted[place], second.inserted[place]];
    for (let extra = 0; extra < Math.max(left.length, right.length); extra++) {
      columns.push({ said: null, a: left[extra] ?? null, b: right[extra] ?? null });
    }
    if (place < said.length) columns.push({ said: said[place], a: first.cells[place], b: second.cells[place] });
  }
  return columns;
}

// The errors of one member in an utterance, each with a key that tells equal ones apart from others.
function errorsIn(utterance, member) {
  const said = tokensOf(utterance.reference);
  const { cells, inserted } = heardBy(utterance, member);
  const found = [];
  const add = (letter, from, to) => found.push({ key: JSON.stringify([letter, from, to]), letter, from, to });
  cells.forEach((cell, place) => cell.letter !== "=" && add(cell.letter, said[place], cell.text));
  inserted.flat().forEach((cell) => add("I", "", cell.text));
  return found;
}

// Every error that either member makes in these utterances, with how often each makes it.
function confusionsOf(utterances, a, b) {
  const found = new Map();
  for (const utterance of utterances) {
    if (!utterance.heard) continue;
    for (const [side, member] of [["a", a], ["b", b]]) {
      for (const { key, letter, from, to } of errorsIn(utterance, member)) {
        if (!found.has(key)) found.set(key, { key, letter, from, to, a: 0, b: 0 });
        found.get(key)[side] += 1;
      }
    }
  }
  return [...found.values()];
}

// Utterances that pass every filter; those of one key are passed over where its own values are compared.
function passing(state, without = null) {
  const wanted = state.groups.map((value, index) => [index, value]).filter(([i, v]) => v !== null && i !== without);
  const words = state.words.trim().toLowerCase();
  return data.utterances.filter((utterance) => {
    if (wanted.some(([index, value]) => utterance.groups[index] !== value)) return false;
    if (words && !textOf(utterance, state).toLowerCase().includes(words)) return false;
    return !state.confusion || makes(utterance, state.confusion, state);
  });
}

function textOf(utterance, state) {
  if (!utterance.heard) return utterance.id;
  const heard = [state.a, state.b].map((member) => utterance.heard[utterance.of[member]][0]);
  return [utterance.id, utterance.reference, ...heard].join("\n");
}

function makes(utterance, key, state) {
  return Boolean(utterance.heard) &&
    [state.a, state.b].some((member) => errorsIn(utterance, member).some((error) => error.key === key));
}

const ORDERS = {
  "largest change": (state) => (one) => -Math.abs(errorsOf(one, state.b) - errorsOf(one, state.a)),
  "most errors": (state) => (one) => -Math.max(errorsOf(one, state.a), errorsOf(one, state.b)),
  shortest: () => (one) => one.seconds,
  longest: () => (one) => -one.seconds,
  "as in the corpus": () => () => 0,
};
