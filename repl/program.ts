// SPDX-License-Identifier: GPL-2.0-only
// The program around a shell: flags, standard streams, and which way of feeding the shell.
//
// Ours. main.ts says which commands and which session; this file does the rest. On a terminal it is a shell with
// prompt; with a script, `-e` or a pipe it is a filter whose status is that of the worst that happened. Invariants: what
// is not needed to show the prompt or to read the first line is loaded later; the program asks for no permission and
// works without any (no history file, no scripts, no `> FILE`); nothing is read or written that was not named, but for
// the history; no error of a user or of the host's streams ends in a stack trace.
// Permissions that are used if granted: read (scripts, `run FILE`, `src`, the history) and write (`> FILE`, the
// history). Never: net, run, env.

import type { Command } from "./command.ts";
import { VERSION } from "./commands/shell.ts";
import { SignalInterrupts } from "./interrupts.ts";
import { PipeLines } from "./lines.ts";
import { didYouMean } from "./nearest.ts";
import type { Session } from "./session.ts";
import type { PagerTerminal } from "./pager.ts";
import { type OutputFile, PROMPT, Shell } from "./shell.ts";
import { headline, outcomeOf, OutputClosed, STATUS, UsageError, worse } from "./status.ts";
import type { TerminalLines } from "./terminal.ts";

const USAGE = `usage: deno task repl [--json] [--bail] [--startup FILE] [-e COMMANDS] [SCRIPT]

  -e, --eval COMMANDS  carry out the commands and end; separated by ;
  SCRIPT               carry out the file and end
  --startup FILE       carry out the file first, and then go on as without it
  --json               NDJSON, one object a line, as .mode json
  --bail               stop at the first failure; not on a terminal
  --no-pager           long output on a terminal is not shown by the screen
  --no-suspend         ^Z does nothing; for parents that would not stop too,
                       such as deno task
  --version            show the version
  --help               show this

Without commands or script, lines are read from the terminal or the pipe.
Exit status, of the worst that happened: 0 all held, 1 a property failed or
the kernel reported, 2 usage, 3 BUG or panic not expected, 4 inconclusive,
5 our own fault.`;

const HISTORY_FILE = ".quiesce_history";
/** 128 + SIGPIPE: what a program ends with whose reader has gone. */
const STATUS_PIPE = 141;

const FLAG_NAMES = ["eval", "startup", "json", "bail", "no-pager", "no-suspend", "version", "help"];

/** What the program was started with. */
export interface Flags {
  readonly eval?: string[];
  readonly script?: string;
  readonly startup?: string;
  readonly json: boolean;
  readonly bail: boolean;
  readonly noPager: boolean;
  readonly noSuspend: boolean;
  readonly answer?: string;
}

/** Runs the program and ends the process with its status. */
export async function runProgram<S extends Session>(
  session: S,
  commands: readonly Command<S>[],
): Promise<never> {
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    reportStray(event.reason);
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    reportStray(event.error);
  });
  try {
    const status = await main(session, commands);
    await new Promise((resolve) => setTimeout(resolve, 0)); // a promise that the last line broke is still reported
    return Deno.exit(status);
  } catch (error) {
    if (error instanceof OutputClosed) Deno.exit(STATUS_PIPE);
    writeErr(`quiesce: ${outcomeOf(error, "the shell").line}\n`);
    return Deno.exit(STATUS.fault);
  }
}

/** What the user's code threw when nobody waited for it: a line, and the end where nobody reads it. */
function reportStray(error: unknown): void {
  if (error instanceof OutputClosed) Deno.exit(STATUS_PIPE);
  if (!Deno.stdin.isTerminal()) {
    writeErr(`uncaught ${headline(error)}\n`);
    Deno.exit(STATUS.failed);
  }
  writeErr(`\r\x1b[Juncaught ${headline(error)}\n${PROMPT}`); // over the prompt, and the prompt again
}

async function main<S extends Session>(session: S, commands: readonly Command<S>[]): Promise<number> {
  const flags = await parseFlags(Deno.args);
  if (typeof flags === "string") {
    writeErr(`quiesce: ${flags} (--help lists the flags)\n`);
    return STATUS.usage;
  }
  if (flags.answer !== undefined) {
    writeOut(`${flags.answer}\n`);
    return STATUS.ok;
  }
  const interactive = flags.eval === undefined && flags.script === undefined &&
    Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  const interrupts = new SignalInterrupts();
  let editor: TerminalLines | undefined;
  const openTerminal = async (): Promise<TerminalLines> => editor ??= await makeTerminal(shell, flags);
  const shell: Shell<S> = new Shell({
    session,
    commands,
    out: writeOut,
    err: writeErr,
    terminal: interactive,
    answers: Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
    colour: interactive && !Deno.noColor,
    columns,
    mode: flags.json ? "json" : "table",
    bail: flags.bail,
    openFile,
    files: listFiles,
    input: () => Deno.stdin.isTerminal() ? openTerminal() : new PipeLines(Deno.stdin.readable),
    ...(interactive ? { interrupts, paging: !flags.noPager, pager: pagerOn(openTerminal) } : {}),
  });
  if (flags.noSuspend && Deno.stdin.isTerminal()) Deno.addSignalListener("SIGTSTP", () => {});
  let first: number = STATUS.ok;
  for (const path of flags.startup === undefined ? [] : [flags.startup]) {
    const text = readScript(path);
    if (text === undefined) return STATUS.usage;
    first = await shell.execute(text, { name: path, line: 1 });
    if (shell.left !== undefined) return shell.left;
    if (first !== STATUS.ok && flags.bail && !interactive) return first;
  }
  const script = flags.script === undefined ? undefined : readScript(flags.script);
  if (flags.script !== undefined && script === undefined) return STATUS.usage;
  const text = flags.eval?.join("\n") ?? script;
  if (text !== undefined) {
    const status = await shell.execute(
      text,
      flags.script === undefined ? undefined : { name: flags.script, line: 1 },
    );
    return shell.left ?? worse(first, status);
  }
  if (!interactive) return await shell.serve(new PipeLines(Deno.stdin.readable), "stdin");
  writeOut(`quiesce ${VERSION}. Type help, or TypeScript; ^D leaves.\n`);
  writeOut(PROMPT); // at once: the editor, which draws it again, takes longer to load than all the rest
  return await shell.serve(await openTerminal());
}

/** The program's flags, or what is wrong with them. */
export async function parseFlags(args: readonly string[]): Promise<Flags | string> {
  if (args.length === 0) return { json: false, bail: false, noPager: false, noSuspend: false };
  const { parseArgs } = await import("node:util");
  const boolean = { type: "boolean" } as const;
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        eval: { type: "string", short: "e", multiple: true },
        startup: { type: "string" },
        json: boolean,
        bail: boolean,
        "no-pager": boolean,
        "no-suspend": boolean,
        version: boolean,
        help: { ...boolean, short: "h" },
      },
    });
    const flags = {
      json: values.json === true,
      bail: values.bail === true,
      noPager: values["no-pager"] === true,
      noSuspend: values["no-suspend"] === true,
      ...(values.startup === undefined ? {} : { startup: values.startup }),
    };
    if (values.help === true) return { ...flags, answer: USAGE };
    if (values.version === true) return { ...flags, answer: `quiesce ${VERSION}` };
    if (positionals.length > 1) return `one script at a time, not also "${positionals[1]}"`;
    const { eval: code } = values;
    if (code !== undefined && positionals.length > 0) return "either -e or a script, not both";
    return {
      ...flags,
      ...(code === undefined ? {} : { eval: code }),
      ...(positionals.length === 0 ? {} : { script: positionals[0] }),
    };
  } catch (error) {
    const message = String(error instanceof Error ? error.message : error).split(". ")[0];
    const flag = /^Unknown option '--?([\w-]+)'/.exec(message)?.[1];
    return flag === undefined ? message : message + didYouMean(flag, FLAG_NAMES, (name) => `--${name}`);
  }
}

async function makeTerminal<S extends Session>(
  shell: Shell<S>,
  { noSuspend }: Flags,
): Promise<TerminalLines> {
  const [{ TerminalLines }, { stdin, stdout }] = await Promise.all([
    import("./terminal.ts"),
    import("node:process"),
  ]);
  const saved = readIfGranted(HISTORY_FILE)?.split("\n").filter((line) => line !== "") ?? [];
  return new TerminalLines({
    input: stdin,
    output: stdout,
    complete: (line) => shell.prepareAndComplete(line),
    history: saved.reverse(),
    ...(noSuspend ? { onSuspend: () => writeErr("^Z cannot stop the shell under deno task\n") } : {}),
    saveHistory: (lines) => saveIfGranted(HISTORY_FILE, [...lines].reverse().join("\n") + "\n"),
  });
}

/** The text of a script, or undefined after saying in one line why not. */
function readScript(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    writeErr(`quiesce: cannot read the script "${path}": ${reasonOf(error, "read")}\n`);
    return undefined;
  }
}

/** Why the host refused a file, in the user's terms. */
function reasonOf(error: unknown, access: "read" | "write"): string {
  if (error instanceof Deno.errors.NotFound) {
    return access === "read" ? "there is no such file" : "there is no such folder";
  }
  if (error instanceof Deno.errors.NotCapable) {
    return access === "read"
      ? "the permission to read it was not given (--allow-read)"
      : "files may be written in this folder only (--allow-write)";
  }
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  return error instanceof Error
    ? error.message.split("\n")[0].replace(/ \(os error.*/, "").replace(/: (open|write|readfile) .*/, "")
    : String(error);
}

/** Bytes of a file that are kept before they are written. */
const FILE_BUFFER = 65536;

/** Opens the file that a line names behind `>`. */
function openFile(path: string, append: boolean): OutputFile {
  const failed = (error: unknown): UsageError =>
    new UsageError(`cannot write "${path}": ${reasonOf(error, "write")}`);
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { write: true, create: true, append, truncate: !append });
  } catch (error) {
    throw failed(error);
  }
  let waiting = "";
  const flush = (): void => {
    const text = waiting;
    waiting = "";
    try {
      writeAll(file, text);
    } catch (error) {
      throw failed(error);
    }
  };
  return {
    write(text) {
      waiting += text;
      if (waiting.length > FILE_BUFFER) flush();
    },
    close() {
      try {
        flush();
      } finally {
        file.close();
      }
    },
  };
}

/** Most names of a folder that Tab offers. */
const MOST_FILES = 500;

/** Names in the folder of a half-typed path, if it may be read. */
function listFiles(partial: string): string[] {
  const folder = partial.slice(0, partial.lastIndexOf("/") + 1);
  const hidden = partial.slice(folder.length).startsWith(".");
  try {
    const path = folder === "" ? "." : folder;
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return [];
    const names: string[] = [];
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      if (!hidden && name.startsWith(".")) continue;
      if (names.push(`${folder}${name}${isDirectory ? "/" : ""}`) === MOST_FILES) break;
    }
    return names;
  } catch {
    return [];
  }
}

function columns(): number {
  return Deno.stdout.isTerminal() ? Deno.consoleSize().columns : 80;
}

/** The pager's side of the terminal. */
function pagerOn(open: () => Promise<TerminalLines>): PagerTerminal {
  return {
    rows: () => Deno.consoleSize().rows,
    columns,
    async key(prompt) {
      writeOut(prompt);
      const key = await (await open()).key();
      writeOut("\r\x1b[K");
      return key;
    },
    async ask(prompt) {
      const answer = await (await open()).next(prompt, false);
      return typeof answer === "string" ? answer : undefined;
    },
  };
}

/** Never asks: a question about permissions could not be answered while the terminal is in raw mode. */
function readIfGranted(path: string): string | undefined {
  try {
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return undefined;
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

function saveIfGranted(path: string, text: string): void {
  try {
    if (Deno.permissions.querySync({ name: "write", path }).state !== "granted") return;
    Deno.writeTextFileSync(path, text);
  } catch { /* a history that cannot be kept is no reason to stop */ }
}

function writeOut(text: string): void {
  writeAll(Deno.stdout, text);
}

function writeErr(text: string): void {
  writeAll(Deno.stderr, text);
}

/** Writes all of it now, so that nothing is lost when the program ends. Throws `OutputClosed`. */
function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += stream.writeSync(bytes.subarray(at));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) throw new OutputClosed();
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); // a full pipe that does not block: try again
    }
  }
}
