// The microphone: its samples go to the server in pieces, one request after the other.

import { post } from "./server.js";

const RECORDER = "recorder.js";

export class Microphone {
  /** onheard(answer) is called with every answer, onlevel(samples) with every piece, onlost(error) once at a failure. */
  constructor({ onheard, onlevel, onlost }) {
    Object.assign(this, { onheard, onlevel, onlost });
    this.waiting = [];
    this.sending = Promise.resolve();
    this.lost = false;
  }

  async start() {
    if (!navigator.mediaDevices) throw new Error("This browser gives pages no microphone here. Open http://127.0.0.1.");
    try {
      this.context = new AudioContext();
      await this.context.audioWorklet.addModule(RECORDER);
      const opened = await post(`api/microphone?rate=${Math.round(this.context.sampleRate)}`);
      this.key = opened.key;
      // Last, when all else is ready: what is said from now on is heard.
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, noiseSuppression: true, autoGainControl: true, echoCancellation: false },
      });
      this.node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
      this.node.port.onmessage = ({ data }) => this.take(data);
      this.context.createMediaStreamSource(this.stream).connect(this.node);
      await this.context.resume();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  take(samples) {
    if (samples === null) {
      this.flushed?.();
      return;
    }
    this.onlevel(samples);
    this.waiting.push(samples);
    // While one piece is under way, those after it wait and go together: a slow model falls behind, but never for good.
    this.sending = this.sending.then(() => this.send());
  }

  async send() {
    if (!this.waiting.length || this.lost) return;
    const pieces = this.waiting.splice(0);
    try {
      this.onheard(await post(`api/microphone/${this.key}`, { body: new Blob(pieces) }));
    } catch (error) {
      this.lost = true;
      this.close();
      this.onlost(error);
    }
  }

  async stop() {
    const flushed = new Promise((resolve) => { this.flushed = resolve; });
    this.node.port.postMessage("flush");
    await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, 300))]);
    this.close();
    await this.sending;
    if (!this.lost) this.onheard(await post(`api/microphone/${this.key}/finish`));
  }

  close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") this.context.close();
  }
}

/** What to say to a person for an error of getUserMedia. */
export function inWords(error) {
  if (error.name === "NotAllowedError") return "The browser did not give the microphone. Allow it for this page and try again.";
  if (error.name === "NotFoundError") return "No microphone was found on this machine.";
  if (error.name === "NotReadableError") return "The microphone is in use by another program.";
  return error.message;
}
