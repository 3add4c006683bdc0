// SPDX-License-Identifier: GPL-2.0-only
// The declarations of a file of ours, by name, as text, for `series diff` and `src`.
//
// Ours. Our formatter puts every top-level declaration at the left edge, and nothing else but imports and comments, so
// lines are enough. A test compares what is found here with the compiler's syntax tree.

/** A declaration: its text with the comment before it, and without. */
export interface Declaration {
  readonly name: string;
  readonly text: string;
  readonly code: string;
  /** Line of the declaration itself, from 1; of overloads, of the first. */
  readonly line: number;
}

const START = /^(?:export )?(?:function\*? |class |const |interface |type )(\{ ?[\w, ]+\}|\w+)/;

/** The declarations of a source text, in its order; overloads of a function are one. */
export function declarationsOf(source: string): Map<string, Declaration> {
  const found = new Map<string, Declaration>();
  let comment: string[] = [];
  let inComment = false;
  let current: { name: string; lines: string[]; comment: string[]; line: number } | null = null;
  function close(): void {
    if (current === null) return;
    while (current.lines.at(-1) === "") current.lines.pop();
    const before = found.get(current.name);
    const code = (before === undefined ? "" : `${before.code}\n`) + current.lines.join("\n");
    const text = (before === undefined ? "" : `${before.text}\n`) +
      [...current.comment, ...current.lines].join("\n");
    const { name, line } = current;
    found.set(name, { name, text, code, line: before?.line ?? line });
    current = null;
  }
  for (const [i, line] of source.split("\n").entries()) {
    if (inComment || line.startsWith("/**")) {
      close();
      if (line.startsWith("/**")) comment = [];
      comment.push(line);
      inComment = !line.endsWith("*/");
      continue;
    }
    const name = START.exec(line)?.[1];
    if (name !== undefined) {
      close();
      current = { name, lines: [line], comment, line: i + 1 };
      comment = [];
    } else if (current !== null && !line.startsWith("import ")) current.lines.push(line);
  }
  close();
  return found;
}
