// SPDX-License-Identifier: GPL-2.0-only
// What may stand behind `|`: the filters that people have in their fingers, over lines, inside this program.
//
// Ours. They are described as commands are, so that help, Tab and checking come from the same place, but they are no
// commands: `count` at the start of a line stays TypeScript's. Invariants: a filter sees the lines that a user would
// have seen, text or NDJSON; the exit status of a line is its command's, and a grep that finds nothing is no failure.

import type { Arguments } from "./arguments.ts";
import type { Described } from "./command.ts";
import { objectLine } from "./output.ts";
import type { Stage } from "./pipeline.ts";
import { UsageError } from "./status.ts";

/** A filter. */
export interface Filter extends Described {
  /** Pages on a terminal, and does nothing elsewhere. */
  readonly pages?: boolean;
  /** Begins a line of work; `json` when the lines are NDJSON. */
  open(args: Arguments, json: boolean): Stage;
}

const base = { group: "filters", kind: "shell" } as const;

const grep: Filter = {
  ...base,
  name: "grep",
  summary: "only the lines that match a pattern",
  description: "The pattern is a regular expression of JavaScript; with --fixed it is the text itself.",
  options: [
    { name: "ignore-case", short: "i", type: "flag", summary: "capitals and small letters are the same" },
    { name: "invert-match", short: "v", type: "flag", summary: "the lines that do not match" },
    { name: "fixed", short: "F", type: "flag", summary: "no regular expression" },
    { name: "count", short: "c", type: "flag", summary: "only their number" },
  ],
  args: [{ name: "pattern", summary: "what to look for", required: true }],
  examples: [{ line: "ps | grep kworker", shows: "the kworkers" }, {
    line: "slabinfo | grep -v '^#'",
    shows: "the table without its heads",
  }],
  open(args, json) {
    const pattern = patternOf("grep", args.text("pattern"), args.flag("fixed"), args.flag("ignore-case"));
    const wanted = !args.flag("invert-match");
    const counts = args.flag("count");
    let found = 0;
    return {
      take(line, next) {
        if (pattern.test(line) !== wanted) return;
        found++;
        if (!counts) next(line);
      },
      end(next) {
        if (counts) next(countLine(found, json));
      },
    };
  },
};

/** A pattern as the user typed it. Throws in one line. */
export function patternOf(who: string, text: string, fixed: boolean, ignoreCase: boolean): RegExp {
  const source = fixed ? text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") : text;
  try {
    return new RegExp(source, ignoreCase ? "iu" : "u");
  } catch {
    try {
      return new RegExp(source, ignoreCase ? "i" : ""); // forgiving: `\-`, a lone `{`
    } catch (error) {
      const why = (error instanceof Error ? error.message : String(error)).replace(/^.*: /, "");
      throw new UsageError(`${who}: "${text}" is no pattern: ${why} (--fixed takes it as text)`);
    }
  }
}

function countLine(n: number, json: boolean): string {
  return json ? objectLine("count", { count: n }) : String(n);
}

const LINES = {
  name: "lines",
  short: "n",
  type: "int",
  min: 0,
  summary: "how many; 10 if not given",
} as const;

/** `head 3`, `head -n 3`. */
function linesOf(who: string, args: Arguments): number {
  if (args.has("lines") && args.has("n")) throw new UsageError(`${who}: one number, not two`);
  return args.has("lines") ? args.int("lines") : args.has("n") ? args.int("n") : 10;
}

const head: Filter = {
  ...base,
  name: "head",
  summary: "the first lines",
  options: [LINES],
  args: [{ name: "n", type: "int", min: 0, summary: "how many; 10 if not given" }],
  examples: [{ line: "trace | head 3", shows: "three events" }],
  open(args) {
    let left = linesOf("head", args);
    return {
      take(line, next) {
        if (left > 0) next(line);
        return --left <= 0;
      },
    };
  },
};

const tail: Filter = {
  ...base,
  name: "tail",
  summary: "the last lines",
  options: [LINES],
  args: [{ name: "n", type: "int", min: 0, summary: "how many; 10 if not given" }],
  examples: [{ line: "dmesg | tail 5", shows: "what the kernel printed last" }],
  open(args) {
    const most = linesOf("tail", args);
    const kept: string[] = [];
    return {
      take(line) {
        kept.push(line);
        if (kept.length > most) kept.shift();
      },
      end: (next) => kept.forEach(next),
    };
  },
};

const count: Filter = {
  ...base,
  name: "count",
  aliases: ["wc"],
  summary: "the number of lines",
  examples: [{ line: "trace -e kmem:* | count", shows: "one number" }],
  open(_args, json) {
    let n = 0;
    return {
      take: () => void n++,
      end: (next) => next(countLine(n, json)),
    };
  },
};

const sort: Filter = {
  ...base,
  name: "sort",
  summary: "the lines in order",
  description: "Lines that are equal by what is compared stay in the order in which they came.",
  options: [
    { name: "numeric", short: "n", type: "flag", summary: "by the number at the start" },
    { name: "reverse", short: "r", type: "flag", summary: "the largest first" },
    { name: "unique", short: "u", type: "flag", summary: "of equal lines only the first" },
    { name: "key", short: "k", type: "int", min: 1, summary: "by this column, from 1, not by the line" },
  ],
  examples: [{ line: "slabinfo | tail -n 40 | sort -n -r -k 2 | head 5", shows: "the fullest caches" }],
  open(args) {
    const [numeric, reverse, unique] = ["numeric", "reverse", "unique"].map((name) => args.flag(name));
    const column = args.has("key") ? args.int("key") - 1 : undefined;
    const kept: string[] = [];
    const keyOf = (line: string): string =>
      column === undefined ? line : line.trim().split(/\s+/)[column] ?? "";
    const compare = (a: string, b: string): number => {
      const [x, y] = reverse ? [keyOf(b), keyOf(a)] : [keyOf(a), keyOf(b)];
      if (numeric) return (Number.parseFloat(x) || 0) - (Number.parseFloat(y) || 0);
      return x < y ? -1 : x > y ? 1 : 0;
    };
    return {
      take: (line) => void kept.push(line),
      end(next) {
        kept.sort(compare).filter((line, i) => !unique || i === 0 || compare(kept[i - 1], line) !== 0)
          .forEach(next);
      },
    };
  },
};

const uniq: Filter = {
  ...base,
  name: "uniq",
  summary: "of equal lines that follow each other only the first",
  options: [{ name: "count", short: "c", type: "flag", summary: "with their number" }],
  examples: [{ line: "trace | sort | uniq -c | head 3", shows: "lines, and how often each came" }],
  open(args, json) {
    const counts = args.flag("count");
    let last: string | undefined;
    let times = 0;
    const give = (next: (line: string) => void): void => {
      if (last === undefined) return;
      if (!counts) next(last);
      else next(json ? objectLine("times", { times, line: last }) : `${String(times).padStart(7)} ${last}`);
    };
    return {
      take(line, next) {
        if (line !== last) {
          give(next);
          times = 0;
          last = line;
        }
        times++;
      },
      end: give,
    };
  },
};

const less: Filter = {
  ...base,
  name: "less",
  aliases: ["more"],
  summary: "a screen at a time, also where the pager is off",
  description: "space: a screen on; Enter: a line on; /TEXT: on to a line that matches; q: no more.\n" +
    "Off a terminal it does nothing. Longer output than a screen is shown so by itself (help .pager).",
  examples: [{ line: "trace | less", shows: "the events, a screen at a time" }],
  pages: true,
  open: () => ({ take: (line, next) => next(line) }),
};

/** In the order in which `help filters` lists them. */
export const FILTERS: readonly Filter[] = [grep, head, tail, count, sort, uniq, less];

/** The filter of that name or alias. */
export function filterNamed(name: string): Filter | undefined {
  return FILTERS.find((filter) => filter.name === name || filter.aliases?.includes(name) === true);
}
