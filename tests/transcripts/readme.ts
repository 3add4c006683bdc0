// SPDX-License-Identifier: GPL-2.0-only
// The session in README.md, played now. A reader sees no `[status N]` lines there.

import { play } from "./transcript.ts";

const SESSION = /(```\n\$ deno task -q repl\n)(quiesce> [^]*?)(```)/;

/** README.md with the session as the shell answers today. */
export async function withSession(readme: string): Promise<string> {
  const session = SESSION.exec(readme)?.[2];
  if (session === undefined) throw new Error("README.md shows no session");
  const played = (await play(session)).split("\n").filter((line) => !line.startsWith("[status ")).join("\n");
  return readme.replace(
    SESSION,
    (_all, before: string, _session: string, after: string) => before + played + after,
  );
}
