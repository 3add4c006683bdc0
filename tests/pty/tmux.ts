// SPDX-License-Identifier: GPL-2.0-only
/**
 * The shell on a real terminal of 80 columns and 24 rows, by tmux. (`deno task pty`; needs tmux and bash)
 *
 * Keys are typed as a person would, and the screen is read as a person would: each step waits for what should stand on it
 * and fails after some seconds without. The shell runs in a folder of its own, so its history begins empty. No test of
 * `deno test`, because it starts processes.
 *
 * @module
 */

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
const DENO = Deno.execPath();
const SOCKET = `quiesce-${Deno.pid}`;
const REPL =
  `${DENO} run --no-prompt --config ${ROOT}deno.json --allow-read --allow-write=. ${ROOT}repl/main.ts`;
const PATIENCE_MS = 15_000;

async function tmux(...args: readonly string[]): Promise<string> {
  const command = new Deno.Command("tmux", { args: ["-L", SOCKET, "-f", "/dev/null", ...args] });
  const { success, stdout, stderr } = await command.output();
  if (!success) throw new Error(`tmux ${args[0]}: ${new TextDecoder().decode(stderr).trim()}`);
  return new TextDecoder().decode(stdout);
}

async function keys(...names: readonly string[]): Promise<void> {
  await tmux("send-keys", "-t", "t", ...names);
}

/** Types text, and Enter behind it. */
async function line(text: string): Promise<void> {
  await tmux("send-keys", "-t", "t", "-l", text);
  await keys("Enter");
}

async function screen(...flags: readonly string[]): Promise<string> {
  return (await tmux("capture-pane", "-p", "-t", "t", ...flags)).trimEnd();
}

/** Waits until the screen matches. */
async function see(what: RegExp): Promise<string> {
  let last = "";
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end;) {
    last = await screen();
    if (what.test(last)) return last;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come; the screen is\n${last}`);
}

/** An empty screen with a prompt at its top, from either shell. */
async function clear(prompt: RegExp): Promise<void> {
  await keys("C-l");
  await see(new RegExp(`^${prompt.source}$`));
}

const PROMPT = /quiesce>/;
const BASH = /bash\$/;

type Step = readonly [string, () => Promise<void>];

const STEPS: readonly Step[] = [
  ["the prompt comes", async () => {
    await line(REPL);
    await see(/Type help.*\nquiesce>$/);
  }],
  ["Tab completes a command, and Enter carries it out", async () => {
    await keys("v", "e", "r", "s", "Tab");
    await see(/quiesce> version$/);
    await keys("Enter");
    await see(/quiesce \d+\.\d+\.\d+ \(Deno .*\)\nquiesce>$/);
  }],
  ["Tab twice lists what may stand there", async () => {
    await clear(PROMPT);
    await tmux("send-keys", "-t", "t", "-l", "boot --rcu t");
    await keys("Tab");
    await new Promise((resolve) => setTimeout(resolve, 1500)); // the first Tab loads what it may offer
    await keys("Tab");
    await see(/tiny\s+tree/);
    await keys("C-c");
    await see(/\^C\nquiesce>$/);
  }],
  ["the Up key recalls the line before", async () => {
    await clear(PROMPT);
    await keys("Up");
    await see(/^quiesce> version$/);
  }],
  ["^C drops a half-typed line", async () => {
    await keys("C-c");
    await see(/^quiesce> \^C\nquiesce>$/);
  }],
  ["^C ends what waits for ever, and what runs", async () => {
    await clear(PROMPT);
    await line("await new Promise(() => {})");
    await new Promise((resolve) => setTimeout(resolve, 400));
    await keys("C-c");
    await see(/interrupted\nquiesce>$/);
    await clear(PROMPT);
    await line("boot --cpus 4; run(function* (k) { for (;;) yield* cond_resched(k) })");
    await new Promise((resolve) => setTimeout(resolve, 800));
    await keys("C-c");
    await see(/(interrupted|stopped at event)[^]*\nquiesce>$/);
  }],
  ["long output is shown by the screen: space, /, q", async () => {
    await clear(PROMPT);
    await line("help");
    await see(/^@learn[^]*-- more --/m);
    await keys("Space");
    await see(/@shell[^]*-- more --|@faults[^]*-- more --|quiesce>$/);
    await keys("q");
    await see(/quiesce>$/);
    await clear(PROMPT);
    await line("help");
    await see(/-- more --/);
    await keys("/");
    await line("@faults");
    await see(/^@faults[^]*quiesce>$/m);
    await see(/quiesce>$/);
    await clear(PROMPT);
    await keys("a", "C-c");
    await see(/^quiesce> \^C\nquiesce>$/);
  }],
  ["a filter, a file, and the file again", async () => {
    await clear(PROMPT);
    await line("help | grep slabinfo > found.txt");
    await line("help | count");
    await see(/^\d\d\nquiesce>$/m);
    await tmux("send-keys", "-t", "t", "-l", "help > foun");
    await keys("Tab");
    await see(/help > found\.txt$/);
    await keys("C-c");
  }],
  ["^Z stops it, and fg goes on", async () => {
    await clear(PROMPT);
    await keys("C-z");
    await see(/Stopped[^]*bash\$$/);
    await line("cat found.txt; fg");
    await see(/slabinfo +slab caches[^]*quiesce>$/);
    await line("6 * 7");
    await see(/^42\nquiesce>$/m);
  }],
  ["^D leaves with status 0", async () => {
    await keys("C-d");
    await see(/bash\$$/);
    await line("echo status $?");
    await see(/^status 0$/m);
  }],
  ["the history is there in the next session", async () => {
    await clear(BASH);
    await line(REPL);
    await see(/quiesce>$/);
    await keys("Up");
    await see(/quiesce> 6 \* 7$/);
    await keys("C-c", "C-d");
    await see(/bash\$$/);
  }],
  ["NO_COLOR is heeded", async () => {
    await clear(BASH);
    await line(`${REPL} --no-pager`);
    await see(/quiesce>$/);
    await line("nosuch");
    await see(/unknown command/);
    // deno-lint-ignore no-control-regex
    if (!/\x1b\[[0-9;]*31m/.test(await screen("-e"))) throw new Error("a mistake is not red");
    await keys("C-d");
    await see(/bash\$$/);
    await clear(BASH);
    await line(`NO_COLOR=1 ${REPL}`);
    await see(/quiesce>$/);
    await line("nosuch");
    await see(/unknown command/);
    // deno-lint-ignore no-control-regex
    if (/\x1b\[[0-9;]*3\dm/.test(await screen("-e"))) throw new Error("a colour in spite of NO_COLOR");
    await keys("C-d");
    await see(/bash\$$/);
  }],
  ["a pipe loses none of 3,000 commands, and no prompt is shown", async () => {
    await clear(BASH);
    await line(`yes version | head -n 3000 | ${REPL} | sort | uniq -c`);
    await see(/^ +3000 quiesce .*\nbash\$$/m);
  }],
  ["a start-up file is read when it is named, and its status counts", async () => {
    await clear(BASH);
    await line(
      `echo 'let named = 3' > rc; echo 'named + nosuch' >> rc; ${REPL} --startup rc -e 'named + 1'; echo status $?`,
    );
    await see(/^rc:2: [^]*\n4\nstatus 1\nbash\$$/m);
  }],
  ["Deno's own REPL has the kernel in scope", async () => {
    await clear(BASH);
    await line(
      `cd ${ROOT}; echo 'k.config.cpus * 100' | ${DENO} repl --allow-read --eval-file=repl/deno_repl.ts`,
    );
    await see(/^400$/m);
  }],
];

async function main(): Promise<void> {
  await tmux(
    "new-session",
    "-d",
    "-s",
    "t",
    "-x",
    "80",
    "-y",
    "24",
    "env",
    "-u",
    "NO_COLOR",
    "PS1=bash\\$ ",
    "bash",
    "--norc",
  );
  let failed = 0;
  try {
    await line(`cd "$(mktemp -d)"; PS1='bash$ '; unset HISTFILE NO_COLOR; clear`);
    await see(/^bash\$$/);
    for (const [name, step] of STEPS) {
      try {
        await step();
        console.log(`ok      ${name}`);
      } catch (error) {
        failed++;
        console.log(`FAILED  ${name}: ${error instanceof Error ? error.message : String(error)}`);
        break; // what follows would begin elsewhere
      }
    }
  } finally {
    await tmux("kill-server");
  }
  console.log(`${failed === 0 ? STEPS.length : "not all"} steps passed, ${failed} failed`);
  Deno.exit(failed);
}

if (import.meta.main) await main();
