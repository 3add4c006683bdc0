// SPDX-License-Identifier: GPL-2.0-only
// The words of one command line, by npm:shell-quote: quotes and `\` as in a shell.
//
// Ours. Invariants: nothing is expanded (`$x` and `*` stay as they are typed), and an operator of the host's
// shell outside quotes is an error instead of a silent word. The library is loaded at the first command that has
// words, not at start.

import { UsageError } from "./status.ts";

/** Stand-ins for what the library would take for a comment or a variable. */
const STAND_INS: readonly (readonly [string, string])[] = [["#", "\uE000"], ["$", "\uE001"]];

/** Splits what follows a command's name into words. `what` is the command's name, for messages. */
export async function splitWords(what: string, text: string): Promise<string[]> {
  if (text === "") return [];
  const { default: shellQuote } = await import("shell-quote");
  const hidden = STAND_INS.reduce((s, [plain, standIn]) => s.replaceAll(plain, standIn), text);
  return shellQuote.parse(hidden).map((entry) => {
    const word = typeof entry === "string" ? entry : "pattern" in entry ? entry.pattern : undefined;
    if (word !== undefined) {
      return STAND_INS.reduce((s, [plain, standIn]) => s.replaceAll(standIn, plain), word);
    }
    const operator = typeof entry === "object" && "op" in entry ? entry.op : "";
    throw new UsageError(`${what}: "${operator}" means nothing here; put it in quotes to pass it as a word`);
  });
}
