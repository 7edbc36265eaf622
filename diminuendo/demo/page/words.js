// Words as the page shows them, and how two transcripts differ.

const SURE = 0.6; // confidence from which on a word is shown as heard well
const SLACK = 0.02; // seconds by which a player may be early

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The text of words one after the other; in scripts without spaces a word is a character. */
export function textOf(words) {
  return words.map((word, index) => (index && word.spaced !== false ? " " : "") + word.text).join("");
}

/** One word with its time and confidence; `word.note` says what was really spoken. */
export function wordItem(word) {
  const percent = Math.round(100 * word.confidence);
  const level = element("i");
  level.style.width = `${percent}%`;
  const item = element("li", {},
    element("span", { className: "text", textContent: word.text }),
    element("span", { className: "meter" }, level),
    element("span", { className: "when" },
      element("span", { textContent: `${word.start.toFixed(2)} s` }),
      element("span", { textContent: `${percent} %`, title: "confidence" })));
  if (word.note) item.append(element("span", { className: "note", textContent: word.note }));
  item.classList.toggle("unsure", word.confidence < SURE);
  item.classList.toggle("provisional", Boolean(word.provisional));
  item.classList.toggle("mistake", Boolean(word.note));
  return item;
}

/** Classes of words for a player that is at `seconds`: those to come are faint, one is spoken now. */
export function follow(items, words, seconds) {
  words.forEach((word, index) => {
    const next = index + 1 < words.length ? words[index + 1].start : word.end + 0.4;
    items[index].classList.toggle("ahead", seconds !== null && word.start > seconds + SLACK);
    items[index].classList.toggle("now", seconds !== null && word.start <= seconds + SLACK && seconds < next);
  });
}

/** Pairs [i, j] of two lists of texts, with null where one has nothing: the fewest edits (Levenshtein). */
export function aligned(one, other) {
  const costs = Array.from({ length: one.length + 1 }, (_, i) => [i]);
  for (let j = 0; j <= other.length; j += 1) costs[0][j] = j;
  for (let i = 1; i <= one.length; i += 1) {
    for (let j = 1; j <= other.length; j += 1) {
      const same = one[i - 1] === other[j - 1] ? 0 : 1;
      costs[i][j] = Math.min(costs[i - 1][j - 1] + same, costs[i - 1][j] + 1, costs[i][j - 1] + 1);
    }
  }
  const pairs = [];
  for (let i = one.length, j = other.length; i || j;) {
    const same = i && j && one[i - 1] === other[j - 1] ? 0 : 1;
    if (i && j && costs[i][j] === costs[i - 1][j - 1] + same) pairs.unshift([(i -= 1), (j -= 1)]);
    else if (i && costs[i][j] === costs[i - 1][j] + 1) pairs.unshift([(i -= 1), null]);
    else pairs.unshift([null, (j -= 1)]);
  }
  return pairs;
}

/** Notes on the words of `heard` that differ from `expected`; returns the indices of `expected` that were missed. */
export function compare(expected, heard, label) {
  const missed = [];
  for (const [i, j] of aligned(expected, heard.map((word) => word.text))) {
    if (i !== null && j !== null && expected[i] === heard[j].text) continue;
    if (i !== null) missed.push(i);
    if (j !== null) heard[j].note = i === null ? `${label}: nothing` : `${label}: ${expected[i]}`;
  }
  return missed;
}
