// SPDX-License-Identifier: GPL-2.0-only
/**
 * The sandbox from outside: workers without permissions that do the checks of a job, a property at a time each.
 *
 * Invariant: the result depends on the job alone. How many workers there are, and which checks what, does not show; a
 * worker that does not answer is a fault of ours and never a verdict.
 *
 * @module
 */

import type { Outcome, Variant } from "../lab.ts";
import type { Job, JobResult } from "./grade.ts";

/** What a worker is told: once the job, then one property after the other. */
export interface Question {
  readonly job?: Job;
  readonly id?: string;
}

/** What it answers. */
export type Answer =
  | { readonly ready: true; readonly variant: Variant }
  | { readonly id: string; readonly outcome: Outcome }
  | { readonly fault: string };

/** Something that is wrong with the grader; the message is one line. */
export class SandboxFault extends Error {
  override readonly name: string = "SandboxFault";
}

/** Workers at a time: as many as the machines have cores that grades are promised for. */
const WORKERS = 2;
/** Longest silence of a worker, in ms of the host. */
const SILENCE = 240_000;

/** Does a job. One without properties only tells the variant. */
export async function runInSandbox(job: Job): Promise<JobResult> {
  const outcomes = new Map<string, Outcome>();
  const left = [...job.ids];
  let variant: Variant = {};
  const workers: Worker[] = [];
  async function one(): Promise<void> {
    const worker = open();
    workers.push(worker);
    const ready = await ask(worker, { job });
    if (!("ready" in ready)) throw new SandboxFault("the sandbox did not begin");
    variant = ready.variant;
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      const answer = await ask(worker, { id });
      if (!("outcome" in answer)) throw new SandboxFault(`the sandbox did not check ${id}`);
      outcomes.set(id, answer.outcome);
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.max(1, Math.min(WORKERS, left.length)) }, one));
  } finally {
    for (const worker of workers) worker.terminate();
  }
  return {
    variant,
    outcomes: job.ids.map((id) => {
      const outcome = outcomes.get(id);
      if (outcome === undefined) throw new SandboxFault(`no outcome for ${id}`);
      return outcome;
    }),
  };
}

function open(): Worker {
  // Needs permission to read this file, and deno.json's "unstable": ["worker-options"].
  const options = { type: "module", deno: { permissions: "none" } } as WorkerOptions;
  return new Worker(new URL("./worker.ts", import.meta.url).href, options);
}

function ask(worker: Worker, question: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new SandboxFault("the sandbox does not answer")), SILENCE);
    worker.onmessage = (event: MessageEvent<Answer>) => {
      clearTimeout(timer);
      if ("fault" in event.data) reject(new SandboxFault(event.data.fault));
      else resolve(event.data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      clearTimeout(timer);
      reject(new SandboxFault(event.message.split("\n")[0]));
    };
    worker.postMessage(question);
  });
}
