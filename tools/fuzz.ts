// SPDX-License-Identifier: GPL-2.0-only
/**
 * Types nonsense into the shell, and looks whether it behaves. (`deno task fuzz [--seed N] [--count N] [--from N]`)
 *
 * Lines come in episodes of 40, each in a shell of its own, so that episode n is the same whatever came before:
 * `--from N` begins with it. After each line: nothing was thrown at us; no stack trace, no place in our sources and no
 * "our own fault" was shown; the status is one that the shell has; a line that only looks has left the machine as it was;
 * reports are lines of the kernel; the kernel's tables can be shown; and it took no longer than it may. What is found is
 * shown with the shortest lines that still show it.
 *
 * @module
 */

import type { Command } from "../repl/command.ts";
import { kernelCommands } from "../repl/commands/table.ts";
import { shellCommands } from "../repl/commands/shell.ts";
import { KernelSession } from "../repl/kernel_session.ts";
import { parse } from "../repl/parse.ts";
import { Shell } from "../repl/shell.ts";
import type { SourceReader } from "../repl/source_index.ts";
import { frag_show, meminfo_proc_show } from "../mm/show_mem.ts";
import { slabinfo_show } from "../mm/slab_common.ts";
import { liveObjects, memoryVerdict } from "../mm/live.ts";
import { Dice, fuzzLine, type Vocabulary } from "./fuzz_lines.ts";

/** Lines of an episode. */
export const EPISODE = 40;
/** No line may take longer, on a busy machine. */
const MOST_MS = 60_000;
/** Examples that take seconds as they are: of them there is only --help. */
const HEAVY = new Set(["flood", "pressure"]);
/** Every so many looks the whole machine is compared, and not only the hash of its events. */
const DIGEST_EVERY = 8;

const COMMANDS: readonly Command<KernelSession>[] = [...kernelCommands, ...shellCommands];
const STATUSES: ReadonlySet<number> = new Set([0, 1, 2, 3, 4]);

/** What a user must never see. */
const HOST_WORDS: readonly RegExp[] = [
  /^\s+at .*:\d+:\d+\)?$/m,
  /file:\/\/\//,
  /our own fault/,
  /\b(node_modules|ext:|node:internal)/,
];

const EMPTY: SourceReader = { list: () => [], read: () => undefined };

/** Something that must not be. */
export interface Finding {
  readonly episode: number;
  readonly lines: readonly string[];
  readonly what: string;
}

/** A shell without streams, and what it wrote. */
class Subject {
  readonly session = new KernelSession(
    (url) => Promise.reject(new TypeError(`Module not found "${url}".`)),
    EMPTY,
  );
  readonly shell: Shell<KernelSession>;
  private text = "";
  private looks = 0;

  constructor() {
    const write = (text: string): void => void (this.text += text);
    this.shell = new Shell({
      session: this.session,
      commands: COMMANDS,
      out: write,
      err: write,
      openFile: () => ({ write: () => {}, close: () => {} }),
    });
  }

  /** Types a line; what is wrong with what came, or undefined. */
  async type(line: string): Promise<string | undefined> {
    this.text = "";
    const before = this.state(line);
    const began = performance.now();
    let status: number;
    try {
      status = await this.shell.execute(line);
    } catch (error) {
      return `it threw ${error instanceof Error ? error.stack : String(error)}`;
    }
    const took = performance.now() - began;
    if (took > MOST_MS) return `it took ${Math.round(took)} ms`;
    if (!STATUSES.has(status) && this.shell.left === undefined) {
      return `status ${status}: ${this.text.slice(0, 400)}`;
    }
    // What the user wrote may stand in an answer.
    const shown = this.text.split("\n").filter((it) => !line.includes(it.trim())).join("\n");
    const bad = HOST_WORDS.find((words) => words.test(shown));
    if (bad !== undefined) return `it showed ${bad}: ${shown.slice(0, 1200)}`;
    if (before !== undefined && before !== this.state(line)) return "it only looks, and changed the machine";
    return this.broken();
  }

  /** The machine, if the line only looks. */
  private state(line: string): string | undefined {
    if (!this.session.booted) return undefined;
    const { statements } = parse(line, (word) => this.shell.registry.find(word) !== undefined);
    const looks = statements.length > 0 && statements.every(({ kind, name }) => {
      const does = kind === "command" ? this.shell.registry.find(name)?.kind : undefined;
      return does === "look" || does === "shell";
    });
    if (!looks) return undefined;
    const { k } = this.session;
    return `${k.seq} ${k.hash.text()} ${this.looks++ % DIGEST_EVERY < 2 ? k.digest() : ""}`;
  }

  /** What does not hold of the kernel any more. */
  private broken(): string | undefined {
    if (!this.session.booted) return undefined;
    const { k } = this.session;
    try {
      for (const { title, lines, ns, seq } of k.reports) {
        if (title === "" || lines.length === 0 || !(ns >= 0) || !(seq >= 0)) {
          return `a report without ${title}`;
        }
        const host = lines.find((line) => /^\s+at .*:\d+:\d+/.test(line) || line.includes("file:///"));
        if (host !== undefined) return `a report with a line of the host: ${host}`;
      }
      const tables = [...slabinfo_show(k), ...frag_show(k), ...meminfo_proc_show(k)];
      const odd = tables.find((line) => /NaN|undefined|-\d+ kB/.test(line));
      if (odd !== undefined) return `a table of the kernel says ${odd}`;
      const { leaked, live, pending } = memoryVerdict(k, 0);
      const all = [...liveObjects(k)];
      if (leaked.length + live.length + pending.length > all.length) return "more objects than there are";
      if (new Set(all.map(({ addr }) => addr)).size !== all.length) return "two objects at one address";
    } catch (error) {
      return `looking at the kernel threw ${error instanceof Error ? error.stack : String(error)}`;
    }
    return undefined;
  }
}

/** The words of lines, after everything that Tab knows has been loaded. */
async function vocabularyOf({ session }: Subject, strays: boolean): Promise<Vocabulary> {
  await session.prepareNames("");
  const examples = session.programs.names().map((name) => [
    HEAVY.has(name) ? `${name} --help` : name,
    ...(session.programs.loaded(name)?.options.map((option) => `--${option.name}`) ?? []),
  ]);
  const fast = COMMANDS.filter(({ name }) => name !== "exit");
  return { commands: fast, strays, examples, namesOf: (names) => session.namesOf(names) };
}

/** Types the lines of one episode; what was found. `strays`: promises may be broken that nobody waits for. */
export async function fuzzEpisode(
  seed: number,
  episode: number,
  strays = false,
): Promise<Finding | undefined> {
  const subject = new Subject();
  const vocabulary = await vocabularyOf(subject, strays);
  const dice = new Dice(seed * 1_000_003 + episode);
  const typed = dice.once(8)
    ? []
    : [dice.pick(["boot --rcu tiny --mem 16M", "boot --mem 32M --cpus 2", "boot --mem 64M"])];
  for (let i = typed.length; i < EPISODE; i++) typed.push("");
  for (let i = 0; i < EPISODE; i++) {
    if (typed[i] === "") typed[i] = fuzzLine(dice, vocabulary);
    watch(`episode ${episode}, line ${i}: ${JSON.stringify(typed[i])}`);
    const what = await subject.type(typed[i]);
    if (what !== undefined) return { episode, lines: typed.slice(0, i + 1), what };
    if (subject.shell.left !== undefined) break;
  }
  return undefined;
}

/** The lines that are still needed for something to go wrong. */
export async function shortest(lines: readonly string[]): Promise<readonly string[]> {
  let best = lines;
  for (let size = Math.ceil(lines.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at + size < best.length;) {
      const fewer = [...best.slice(0, at), ...best.slice(at + size)];
      if (await goesWrong(fewer)) best = fewer;
      else at += size;
    }
  }
  return best;
}

async function goesWrong(lines: readonly string[]): Promise<boolean> {
  const subject = new Subject();
  for (const line of lines) {
    if (await subject.type(line) !== undefined) return true;
    if (subject.shell.left !== undefined) return false;
  }
  return false;
}

let watchman: Worker | undefined;

/** A line that never ends is named by a worker, since nobody else can. */
const WATCHMAN = `
let timer;
self.onmessage = ({ data }) => {
  clearTimeout(timer);
  if (data === "") return;
  timer = setTimeout(() => console.error("still busy after 60 s: " + data), 60000);
};
`;

function watch(text: string): void {
  watchman?.postMessage(text);
}

/** A promise that the user's line broke is the user's; a test of its own looks at how the program says so. */
function ignoreStrays(): void {
  globalThis.addEventListener("unhandledrejection", (event) => event.preventDefault());
  globalThis.addEventListener("error", (event) => event.preventDefault());
}

function numberOf(name: string, otherwise: number): number {
  const at = Deno.args.indexOf(`--${name}`);
  if (at === -1) return otherwise;
  const value = Number(Deno.args[at + 1]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`fuzz: --${name} needs a whole number`);
  Deno.exit(2);
}

async function main(): Promise<void> {
  const [seed, count, from] = [numberOf("seed", 1), numberOf("count", 100_000), numberOf("from", 0)];
  const url = URL.createObjectURL(new Blob([WATCHMAN], { type: "text/javascript" }));
  watchman = new Worker(url, { type: "module" });
  ignoreStrays();
  const episodes = Math.ceil(count / EPISODE);
  let found = 0;
  for (let episode = from; episode < from + episodes; episode++) {
    const finding = await fuzzEpisode(seed, episode, true);
    if (finding !== undefined) {
      found++;
      console.log(
        `FOUND in episode ${episode} (--seed ${seed} --from ${episode} --count 1): ${finding.what}`,
      );
      for (const line of await shortest(finding.lines)) console.log(`  ${JSON.stringify(line)}`);
    }
    if ((episode + 1 - from) % 250 === 0) {
      console.log(`${(episode + 1 - from) * EPISODE} lines, ${found} found`);
    }
  }
  watchman.terminate();
  console.log(`${episodes * EPISODE} lines of seed ${seed}, ${found} found`);
  Deno.exit(found > 0 ? 1 : 0);
}

if (import.meta.main) await main();
