// The drawn sound: a whole recording with its words and a player's place, or the last seconds of a microphone.

const BAR = 3; // pixels, with a gap of 1
const LIVE_SECONDS = 12;
const LEVEL_SECONDS = 0.04; // of sound in one level of the microphone

export class Waveform {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear() {
    Object.assign(this, { peaks: [], seconds: 0, starts: [], place: null, levels: null });
    this.draw();
  }

  show(peaks, seconds, starts) {
    Object.assign(this, { peaks, seconds, starts, place: null, levels: null });
    this.draw();
  }

  moveTo(place) {
    this.place = place;
    this.draw();
  }

  addLevel(samples, rate) {
    this.levels ??= [];
    const step = Math.max(1, Math.round(LEVEL_SECONDS * rate));
    for (let from = 0; from < samples.length; from += step) {
      const part = samples.subarray(from, from + step);
      let peak = 0;
      for (const sample of part) peak = Math.max(peak, Math.abs(sample));
      this.levels.push({ peak, seconds: part.length / rate });
    }
    this.levels.splice(0, this.levels.length - Math.ceil(LIVE_SECONDS / LEVEL_SECONDS) - 20); // the rest is out of sight
    this.draw();
  }

  draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const bars = Math.max(1, Math.floor(width / (BAR + 1)));
    const heights = this.levels ? this.live(bars) : this.whole(bars);
    const played = this.place === null ? 0 : (this.place / this.seconds) * width;
    const middle = (height - 10) / 2;
    heights.forEach((level, index) => {
      const x = index * (BAR + 1);
      const size = Math.max(1.5, Math.sqrt(level) * (height - 14));
      context.fillStyle = this.levels || x < played ? colour("--accent") : colour("--wave");
      context.beginPath();
      context.roundRect(x, middle - size / 2, BAR, size, 1.5);
      context.fill();
    });
    context.fillStyle = colour("--accent");
    for (const start of this.levels ? [] : this.starts) {
      context.beginPath();
      context.arc((start / this.seconds) * width, height - 4, 3, 0, 2 * Math.PI);
      context.fill();
    }
  }

  whole(bars) {
    if (!this.peaks.length) return new Array(bars).fill(0);
    const loudest = Math.max(...this.peaks, 0.01);
    return Array.from({ length: bars }, (_, bar) => {
      const from = Math.floor((bar * this.peaks.length) / bars);
      const to = Math.max(from + 1, Math.floor(((bar + 1) * this.peaks.length) / bars));
      return Math.max(...this.peaks.slice(from, to)) / loudest;
    });
  }

  live(bars) {
    const heights = new Array(bars).fill(0);
    let place = bars;
    for (let index = this.levels.length - 1; index >= 0 && place > 0; index -= 1) {
      const { peak, seconds } = this.levels[index];
      const from = Math.max(0, place - (seconds / LIVE_SECONDS) * bars);
      for (let bar = Math.floor(from); bar < place; bar += 1) heights[bar] = Math.max(heights[bar], peak);
      place = from;
    }
    return heights;
  }
}
