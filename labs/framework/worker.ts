// SPDX-License-Identifier: GPL-2.0-only
/**
 * Inside the sandbox: loads the kernel, the lab and the student's file, locks the realm, and checks what it is asked to.
 *
 * Runs as a worker without permissions (sandbox.ts). Invariant: only this file speaks to the other side; what the
 * student's code says has no way there.
 *
 * @module
 */

import { LABS } from "../registry.ts";
import { type Job, runJob } from "./grade.ts";
import { loaderOf } from "./load.ts";
import { lockRealm } from "./realm.ts";
import type { Answer, Question } from "./sandbox.ts";

const post = (globalThis as unknown as { postMessage(message: Answer): void }).postMessage.bind(globalThis);

/** A job that has begun. */
interface Begun {
  readonly ready: Answer;
  check(id: string): Answer;
}

async function begin(job: Job): Promise<Begun> {
  const { default: lab } = await LABS[job.manifest.id]();
  const load = loaderOf(job.prepared, job.manifest.imports);
  lockRealm();
  return {
    ready: { ready: true, variant: lab.variant(job.key) },
    check: (id) => ({ id, outcome: runJob(lab, { ...job, ids: [id] }, load).outcomes[0] }),
  };
}

let begun: Promise<Begun> | null = null;

globalThis.addEventListener("message", (event) => {
  const { job, id } = (event as MessageEvent<Question>).data;
  if (job !== undefined) begun = begin(job);
  begun?.then(({ ready, check }) => post(id === undefined ? ready : check(id))).catch((error) => {
    post({ fault: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
  });
});
