// Hands the microphone's samples to the page, five times a second.

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.buffer = new Float32Array(Math.round(sampleRate / 5));
    this.filled = 0;
    this.port.onmessage = () => this.flush();
  }

  process([input]) {
    const channels = input.length;
    for (let at = 0; channels && at < input[0].length; at += 1) {
      let sum = 0;
      for (let channel = 0; channel < channels; channel += 1) sum += input[channel][at];
      this.buffer[this.filled] = sum / channels;
      this.filled += 1;
      if (this.filled === this.buffer.length) this.send();
    }
    return true;
  }

  send() {
    const samples = this.buffer.slice(0, this.filled);
    this.filled = 0;
    this.port.postMessage(samples, [samples.buffer]);
  }

  flush() {
    this.send();
    this.port.postMessage(null);
  }
}

registerProcessor("recorder", Recorder);
