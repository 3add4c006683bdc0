// SPDX-License-Identifier: GPL-2.0-only
// ^C while a command runs: a flag that can be read without giving up the CPU.
//
// Ours. A signal handler of this thread runs only when the thread is idle, which an emulator seldom is, and a
// handler of this thread would also take from the user the one way to stop a program that loops for ever. So a
// small worker listens to SIGINT and sets a word of shared memory. It is started when a command gives way for the
// first time after 30 ms; a command that never does is ended by ^C as any program is. If the word is still set a
// moment after ^C, the main thread has stopped looking: the worker says so and stops listening, and the next ^C
// ends the process. Invariants: needs no permission; short commands and scripts start no worker; without a terminal
// none of this is used, and ^C means what it means to any program.
// Loading a worker makes Deno clear the line that the cursor is on, so no prompt may be shown before it is ready.

import type { Interrupts } from "./shell.ts";

/** Nobody looked for so long: the main thread hangs. (`deno task` sends a second SIGINT after the terminal's.) */
const PATIENCE_MS = 1500;

/** What the shared word says. */
const IDLE = 0;
const RUNNING = 1;
const PRESSED = 2;

const LISTENER = `
let state, patience, listening = false;
const onInterrupt = () => {
  if (Atomics.compareExchange(state, 0, ${RUNNING}, ${PRESSED}) !== ${RUNNING}) return;
  setTimeout(() => {
    if (Atomics.load(state, 0) !== ${PRESSED}) return;
    Deno.removeSignalListener("SIGINT", onInterrupt);
    listening = false;
    console.error("still busy; ^C again ends the shell");
  }, patience);
};
self.onmessage = ({ data }) => {
  if (data.memory !== undefined) {
    state = new Int32Array(data.memory);
    patience = data.patience;
  }
  if (!listening) Deno.addSignalListener("SIGINT", onInterrupt);
  listening = true;
  self.postMessage("ready");
};
`;

/** Hears of SIGINT through a worker. */
export class SignalInterrupts implements Interrupts {
  private readonly state = new Int32Array(new SharedArrayBuffer(4));
  private worker: Worker | undefined;
  private ready: Promise<unknown> = Promise.resolve();

  /** A command begins. */
  begin(): void {
    Atomics.store(this.state, 0, RUNNING);
  }

  /** Starts the worker, once. */
  prepare(): void {
    if (this.worker !== undefined) return;
    const url = URL.createObjectURL(new Blob([LISTENER], { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    this.ready = new Promise((resolve) => worker.onmessage = resolve);
    worker.postMessage({ memory: this.state.buffer, patience: PATIENCE_MS });
    this.worker = worker;
  }

  /** Whether ^C was pressed since the command began. */
  requested(): boolean {
    return Atomics.load(this.state, 0) === PRESSED;
  }

  /** Resolves when a prompt may be shown. */
  settled(): Promise<unknown> {
    return this.ready;
  }

  /** The command has ended: if the worker had stopped listening, it listens again. */
  end(): void {
    Atomics.store(this.state, 0, IDLE);
    this.worker?.postMessage({});
  }

  /** Ends the worker. */
  stop(): void {
    this.worker?.terminate();
    this.worker = undefined;
  }
}
