// SPDX-License-Identifier: GPL-2.0-only
// Call sites: which function of which file allocated, freed or queued something.
//
// Ours. The kernel's tracepoints print call_site, the return address of the allocator; here it is the innermost frame
// of the host's stack outside mm/ (kernel/stacktrace.ts), taken when such an event is recorded. That costs some 20 µs
// an event, so tests and benchmarks leave it off and the shell has it on. Invariant: the table is outside of the
// machine: neither its hash nor its digest nor its table of texts knows whether sites are captured.

import type { Kernel } from "../kernel/kernel.ts";
import type { EventRecord } from "../kernel/machine/log.ts";
import { allocationCaller, type StackFrame } from "../kernel/stacktrace.ts";
import { SYSTEM } from "../kernel/trace/trace_event.ts";
import { shortFile } from "./status.ts";

/** Systems of events that have a call site. */
const WITH_SITE: ReadonlySet<number> = new Set([SYSTEM.quiesce, SYSTEM.kmem, SYSTEM.vmalloc]);

/** The call sites of one machine. */
export class SiteTable {
  private readonly frames: StackFrame[] = [{ name: "", file: "", line: 0 }];
  private readonly numbers = new Map<string, number>();

  /** Captures the sites of `k` from now on. */
  watch(k: Kernel): void {
    k.captureSite = (kind) => kind === 0 || WITH_SITE.has(kind >>> 8) ? this.capture() : 0;
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
    return `${frame.name} (${shortFile(frame.file)}:${frame.line})`;
  }

  private capture(): number {
    const frame = allocationCaller();
    if (frame === undefined) return 0;
    const key = `${frame.name} ${frame.file} ${frame.line}`;
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    this.frames.push(frame);
    this.numbers.set(key, this.frames.length - 1);
    return this.frames.length - 1;
  }
}
