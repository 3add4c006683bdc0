// SPDX-License-Identifier: GPL-2.0-only
/**
 * Timing for benchmarks: host time, medians, and lines that can be kept. The only place that reads a host clock.
 *
 * @module
 */

/** One figure. */
export interface Figure {
  readonly name: string;
  /** First run, and median of the last two thirds (after warm-up), in ns per operation. */
  readonly first: number;
  readonly median: number;
}

/** Runs `body` (which does `operations` of something) `repeats` times. */
export function measure(name: string, operations: number, repeats: number, body: () => void): Figure {
  const ns: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    body();
    ns.push((performance.now() - start) * 1e6 / operations);
  }
  return { name, first: ns[0], median: median(ns.slice(Math.floor(repeats / 3))) };
}

/** The middle of `values`. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}

/** A duration for people. */
export function duration(ns: number): string {
  if (ns < 1e3) return `${ns.toFixed(1)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(1)} ms`;
  return `${(ns / 1e9).toFixed(2)} s`;
}

/** A table of figures, one a line. */
export function table(figures: readonly Figure[]): string {
  const width = Math.max(...figures.map((f) => f.name.length));
  const lines = figures.map((f) =>
    `${f.name.padEnd(width)}  ${duration(f.first).padStart(10)}  ${duration(f.median).padStart(10)}`
  );
  return [`${"".padEnd(width)}  ${"first".padStart(10)}  ${"median".padStart(10)}`, ...lines].join("\n");
}
