// One sound at a time, from the FLAC files in the page.
const sound = new Audio();
let playing = null; // the player whose sound it is

function playerOf(index) {
  const seconds = data.utterances[index].seconds;
  const button = element("button", { type: "button", class: "play", "aria-label": `Play ${data.utterances[index].id}` });
  const range = { type: "range", class: "seek", min: 0, max: seconds, step: 0.01, value: 0, "aria-label": "Position, seconds" };
  const position = element("input", range);
  const time = element("span", { class: "time" }, `${seconds.toFixed(1)} s`);
  const player = { index, button, position, time, seconds };
  button.addEventListener("click", () => (playing === player && !sound.paused ? sound.pause() : play(player)));
  position.addEventListener("input", () => {
    take(player);
    sound.currentTime = Number(position.value);
    show();
  });
  face(player);
  return element("div", { class: "player" }, button, position, time);
}

function take(player) {
  if (playing === player) return;
  const before = playing;
  sound.pause();
  if (sound.src) URL.revokeObjectURL(sound.src);
  const text = atob(document.getElementById(`audio-${player.index}`).textContent);
  sound.src = URL.createObjectURL(new Blob([Uint8Array.from(text, (c) => c.charCodeAt(0))], { type: "audio/flac" }));
  playing = player;
  if (before) reset(before);
}

function play(player) {
  take(player);
  sound.play().then(follow, (error) => {
    if (error.name === "AbortError") return; // another was pressed before this one began
    player.time.textContent = "this browser does not play FLAC";
  });
}

function reset(player) {
  player.position.value = 0;
  player.time.textContent = `${player.seconds.toFixed(1)} s`;
  face(player);
}

function face(player) {
  const runs = playing === player && !sound.paused && !sound.ended;
  player.button.textContent = runs ? "❚❚" : "▶";
  player.button.classList.toggle("runs", runs);
}

function show() {
  playing.position.value = sound.currentTime;
  playing.time.textContent = `${sound.currentTime.toFixed(1)} of ${playing.seconds.toFixed(1)} s`;
}

function follow() {
  if (!playing || sound.paused) return;
  show();
  requestAnimationFrame(follow);
}

for (const event of ["play", "pause"]) sound.addEventListener(event, () => playing && face(playing));
sound.addEventListener("ended", () => playing && reset(playing));
