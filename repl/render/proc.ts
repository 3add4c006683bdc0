// SPDX-License-Identifier: GPL-2.0-only
// The kernel's own tables as data: each line of /proc's text with the fields that its columns are.
//
// Ours. The text comes from the functions that mirror the kernel's show functions and is shown as it is; here it is only
// read, as a program that reads /proc would. Invariant: no line is dropped or changed; heads have no fields.

import { type Fields, heading, type Row, row, type Shown } from "../command.ts";

/** Turns lines into rows. */
export type Reader = (lines: Iterable<string>) => Generator<Shown, void, void>;

/** `slabinfo - version: 2.1`: the columns that the second line names. */
export function* slabRows(lines: Iterable<string>): Generator<Row, void, void> {
  for (const line of lines) {
    if (line.startsWith("#") || line.startsWith("slabinfo")) {
      yield heading(line);
      continue;
    }
    const [name, active_objs, num_objs, objsize, objperslab, pagesperslab] = line.trim().split(/\s+/);
    const numbers = { active_objs, num_objs, objsize, objperslab, pagesperslab };
    const slabs = /: slabdata\s+(\d+)\s+(\d+)/.exec(line);
    yield row("slab", {
      name,
      ...counted(numbers),
      ...(slabs === null ? {} : { active_slabs: Number(slabs[1]), num_slabs: Number(slabs[2]) }),
    }, line);
  }
}

function counted(texts: Readonly<Record<string, string>>): Fields {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Number(text)]));
}

/** `Node 0, zone   Normal   1   2 ...`: free blocks of order 0, 1, and so on. */
export function* buddyRows(lines: Iterable<string>): Generator<Row, void, void> {
  for (const line of lines) {
    const match = /^Node (\d+), zone\s+(\S+)\s+(.*)$/.exec(line);
    if (match === null) yield heading(line);
    else {
      const [, node, zone, counts] = match;
      const fields = { node: Number(node), zone, free: counts.trim().split(/\s+/).map(Number) };
      yield row("zone", fields, line);
    }
  }
}

/** `MemTotal:  262144 kB`, and `    low  123` of zoneinfo. */
export function* numberRows(lines: Iterable<string>): Generator<Shown, void, void> {
  for (const line of lines) {
    const match = /^\s*([A-Za-z_][\w()]*):?\s+(-?\d+)(?: (kB))?$/.exec(line);
    if (match === null) yield line;
    else {
      const [, name, value, unit] = match;
      yield row("number", { name, value: Number(value), ...(unit === undefined ? {} : { unit }) }, line);
    }
  }
}

/** `0xffffc90000000000-0xffffc90000005000   20480 caller pages=4 vmalloc`. */
export function* areaRows(lines: Iterable<string>): Generator<Shown, void, void> {
  for (const line of lines) {
    const match = /^0x([0-9a-f]+)-0x([0-9a-f]+)\s+(\d+)\s*(.*)$/.exec(line);
    if (match === null) yield line;
    else {
      const [, from, to, size, about] = match;
      yield row("area", { from, to, size: Number(size), about: about.trim() }, line);
    }
  }
}

/** Lines without data of their own. */
export function* plainRows(lines: Iterable<string>): Generator<Shown, void, void> {
  yield* lines;
}
