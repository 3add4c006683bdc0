// SPDX-License-Identifier: GPL-2.0-only
/**
 * P77: the kernel reports nothing. For runs that must be clean; where a person looks on, reports are shown as they are.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import type { Findings, Monitor } from "./monitor.ts";

export class Reports implements Monitor {
  private seen: number;
  readonly on: Monitor["on"] = {};

  constructor(private readonly k: Kernel, private readonly findings: Findings) {
    this.seen = k.reports.length;
  }

  look(): void {
    for (; this.seen < this.k.reports.length; this.seen++) {
      const { title, seq } = this.k.reports[this.seen];
      this.findings.violated("P77", seq, title);
    }
  }

  finish(): void {
    this.look();
  }
}
