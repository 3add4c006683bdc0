// SPDX-License-Identifier: GPL-2.0-only
// Memory in hexadecimal words, as crash's rd prints it: address, two words, their characters.
//
// Ours. Invariant: looking is raw: no shadow is asked, no access is reported. Memory that is not mapped is an error.

import { type Row, row } from "../command.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { formatAddr } from "../../kernel/machine/addr.ts";
import type { Ram } from "../../kernel/machine/ram.ts";

const WORD = 8;

/** One word, or undefined where nothing is mapped. */
function wordAt(ram: Ram, addr: number): Uint8Array | undefined {
  const phys = ram.translate(addr);
  return phys < 0 ? undefined : ram.bytes.subarray(phys, phys + WORD);
}

/** The lines for `count` words from `addr` (a multiple of 8) on; stops early where nothing is mapped. */
export function* hexLines(ram: Ram, addr: VirtAddr, count: number): Generator<Row, boolean, void> {
  for (let at = 0; at < count; at += 2) {
    const words = [wordAt(ram, addr + at * WORD)];
    if (at + 1 < count) words.push(wordAt(ram, addr + (at + 1) * WORD));
    const there = words.filter((word) => word !== undefined);
    if (there.length === 0) return false;
    const hex = there.map((word) =>
      Array.from(word).reverse().map((b) => b.toString(16).padStart(2, "0")).join("")
    );
    const text = there.map((word) => Array.from(word, character).join("")).join("");
    const from = formatAddr(addr + at * WORD);
    yield row("words", { addr: from, words: hex }, `${from}:  ${hex.join(" ").padEnd(33)}   ${text}`);
    if (there.length < words.length) return false;
  }
  return true;
}

function character(byte: number): string {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".";
}
