// SPDX-License-Identifier: GPL-2.0-only
// Call sites: which function of which file allocated, freed or queued something.
//
// Ours. The kernel's tracepoints print call_site, the return address of the allocator; here it is the innermost frame
// of the host's stack outside mm/ (kernel/stacktrace.ts), taken when such an event is recorded. That costs some 20 µs
// an event, so tests and benchmarks leave it off and the shell has it on. Invariant: the table is outside of the
// machine: neither its hash nor its digest nor its table of texts knows whether sites are captured.

import type { Kernel } from "../kernel/kernel.ts";
import type { EventRecord } from "../kernel/machine/log.ts";
import { allocationCaller, type StackFrame, stackFrames } from "../kernel/stacktrace.ts";
import { CALL_RCU_EVENT, KVFREE_RCU_EVENT, READ_LOCK_EVENT } from "../kernel/trace/events/quiesce.ts";
import { traceEvents } from "../kernel/trace/table.ts";
import { SYSTEM } from "../kernel/trace/trace_event.ts";
import { isInput, userLine } from "./inputs.ts";
import { shortFile } from "./status.ts";

/** Systems of events whose call site is the caller of an allocator. */
const WITH_SITE: ReadonlySet<number> = new Set([SYSTEM.kmem, SYSTEM.vmalloc]);

/** Events that hand something to RCU: their call site is who called into RCU. */
const INTO_RCU: ReadonlySet<number> = new Set([
  KVFREE_RCU_EVENT,
  CALL_RCU_EVENT,
  ...traceEvents.filter(({ name }) => /^rcu_(kvfree_)?callback$/.test(name)).map(({ id }) => id),
]);

/** The caller is among so many frames. */
const NEAR_FRAMES = 16;
const KERNEL_FILE = /^(kernel|mm|rcu|init)\//;

const C_NAME = /^_*[a-z][a-z0-9_]*$/;

/** Who called into RCU: the innermost function of C name outside of it, of mm/ and of the tracepoints. */
function rcuCaller(): StackFrame | undefined {
  return stackFrames(NEAR_FRAMES).find((frame) =>
    C_NAME.test(frame.name) && !/^(rcu|mm|kernel\/trace)\//.test(shortFile(frame.file))
  );
}

/** Who became a reader: the innermost function outside of the kernel, or else as rcuCaller(). */
function readerCaller(): StackFrame | undefined {
  const user = (file: string): boolean =>
    isInput(file) || !/^(kernel|mm|rcu|init|repl)\//.test(shortFile(file));
  return stackFrames(NEAR_FRAMES).find((frame) => user(frame.file)) ?? rcuCaller();
}

/** What finds the call site of such an event; undefined when it has none. */
function callerFor(kind: number): (() => StackFrame | undefined) | undefined {
  if (INTO_RCU.has(kind)) return rcuCaller;
  return kind === 0 || WITH_SITE.has(kind >>> 8) ? allocationCaller : undefined;
}

/** Sites that are looked at in one go: a run without end must reach its limit all the same. */
const MOST_CAPTURES = 100_000;
/** The same for read-side sections, of which there are many more than of anything else. */
const MOST_READERS = 20_000;

/** The call sites of one machine. */
export class SiteTable {
  private readonly frames: StackFrame[] = [{ name: "", file: "", line: 0 }];
  private readonly numbers = new Map<string, number>();

  private captures = 0;
  private readers = 0;
  private lastSeq = 0;

  /** Captures the sites of `k` from now on, the first MOST_CAPTURES of them; of readers the first MOST_READERS. */
  watch(k: Kernel): void {
    k.captureSite = (kind) => {
      if (k.seq < this.lastSeq) this.captures = this.readers = 0; // the machine went back
      this.lastSeq = k.seq;
      if (kind === READ_LOCK_EVENT) {
        return this.readers++ < MOST_READERS ? this.numberOf(readerCaller()) : 0;
      }
      const caller = callerFor(kind);
      if (caller === undefined || this.captures++ > MOST_CAPTURES) return 0;
      return this.numberOf(caller());
    };
    k.siteName = (site) => this.frames[site]?.name ?? "";
  }

  /** Name of the function, or nothing when the site was not captured. */
  nameOf(record: EventRecord): string {
    return this.frames[record.site]?.name ?? "";
  }

  /** `add_new_gdb (examples/ext4_kvfree_array_rcu.ts:92)`, or nothing. */
  placeOf(record: EventRecord): string {
    const frame = this.frames[record.site];
    if (frame === undefined || frame.name === "") return "";
    if (isInput(frame.file)) return `${frame.name} (line ${userLine(frame.line)})`;
    const file = shortFile(frame.file);
    if (file.startsWith("repl/")) return frame.name;
    // A line of the kernel's own files says little and moves with every edit; of an example or a user's file it is the answer.
    return KERNEL_FILE.test(file) ? `${frame.name} (${file})` : `${frame.name} (${file}:${frame.line})`;
  }

  /** Whether it is code of an example or of the user, not of the kernel. */
  isUserCode(record: EventRecord): boolean {
    const { file } = this.frames[record.site] ?? this.frames[0];
    return file !== "" && !KERNEL_FILE.test(shortFile(file));
  }

  private numberOf(frame: StackFrame | undefined): number {
    if (frame === undefined) return 0;
    const { name, file, line } = frame;
    const key = `${name} ${file} ${line}`;
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    this.frames.push({ name, file, line });
    this.numbers.set(key, this.frames.length - 1);
    return this.frames.length - 1;
  }
}
