// SPDX-License-Identifier: GPL-2.0-only
// The shell as a filter and as a conversation: statuses, order, ^C, help, Tab (repl/shell.ts and what it uses).

import { assert, assertEquals, assertThrows } from "@std/assert";
import { BREATHE, type Command, type Lines } from "../../repl/command.ts";
import { shellCommands, VERSION } from "../../repl/commands/shell.ts";
import { PipeLines } from "../../repl/lines.ts";
import { didYouMean, distance } from "../../repl/nearest.ts";
import { parse } from "../../repl/parse.ts";
import { Registry } from "../../repl/registry.ts";
import type { Interrupts } from "../../repl/shell.ts";
import { FailedError, ShellError, STATUS, worse } from "../../repl/status.ts";
import { pieces, ran, TestShell } from "./harness.ts";

const base = { group: "test", summary: "for the test", kind: "look", examples: [] } as const;

/** `say WORD...` yields each word; `say` alone yields nothing. */
const say: Command = {
  ...base,
  name: "say",
  args: [{ name: "words", summary: "what", rest: true }],
  *run(_session, args): Lines {
    yield* args.list("words");
  },
};

/** `end N` says so and returns status N; `end --throw N` throws it. */
const end: Command = {
  ...base,
  name: "end",
  options: [{ name: "throw", type: "flag", summary: "throw it" }],
  args: [{ name: "status", type: "int", summary: "status", required: true }],
  *run(_session, args): Lines {
    const status = args.int("status") as 0 | 1 | 3 | 4;
    if (args.flag("throw")) throw new ShellError(status, `thrown ${status}`);
    yield `ends with ${status}`;
    return status;
  },
};

const broken: Command = {
  ...base,
  name: "broken",
  // deno-lint-ignore require-yield
  *run(): Lines {
    throw new TypeError("no such thing");
  },
};

Deno.test("Shell.serve() loses none of 3,000 lines of a pipe [pieces=1..65536]", async () => {
  const lines = Array.from({ length: 3000 }, (_, i) => `say line${i}`);
  const expected = lines.map((line) => line.slice(4) + "\n").join("");
  for (const size of [7, 4096, 65536]) {
    const result = await new TestShell([say]).pipe(lines.join("\n"), size);
    assertEquals([result.status, result.out === expected, result.err], [0, true, ""]);
  }
});

Deno.test("PipeLines gives every line whatever the pieces, CRLF and a last line without newline too", async () => {
  for (const size of [1, 2, 3, 100]) {
    const source = new PipeLines(pieces("a\r\n\nbb\nc", size));
    const lines: (string | undefined)[] = [];
    for (let line = await source.next(""); line !== undefined; line = await source.next("")) lines.push(line);
    assertEquals(lines, ["a", "", "bb", "c"]);
  }
});

Deno.test("PipeLines decodes a character that is cut in two", async () => {
  const bytes = new TextEncoder().encode("é\n");
  async function* single(): AsyncGenerator<Uint8Array> {
    for (const byte of bytes) yield await Promise.resolve(new Uint8Array([byte]));
  }
  assertEquals(await new PipeLines(single()).next(""), "é");
});

Deno.test("Shell.serve() carries out each line before it reads the next", async () => {
  const shell = new TestShell([say]);
  const seen: string[] = [];
  async function* typed(): AsyncGenerator<string> {
    yield await Promise.resolve("say one\n");
    seen.push(shell.out);
    yield "say two\n";
  }
  await shell.shell.serve(new PipeLines(typed()), "stdin");
  assertEquals([seen, shell.out], [["one\n"], "one\ntwo\n"]);
});

Deno.test("Shell.serve() goes on after a failure, with its place, and ends with the worst status", async () => {
  const result = await new TestShell([say, end]).pipe("say a\nend 1\nsay b\n");
  assertEquals(result, { status: 1, out: "a\nends with 1\nb\n", err: "" });
  const thrown = await new TestShell([say, end]).pipe("say a\n\nend --throw 4\nsay b\n");
  assertEquals(thrown, { status: 4, out: "a\nb\n", err: "stdin:3: thrown 4\n" });
  const twice = await new TestShell([say, end]).pipe("end --throw 1\nnosuch\nsay 'open\nsay b\nend 4\n");
  assertEquals([twice.status, twice.out], [1, "b\nends with 4\n"]);
  assertEquals(twice.err.split("\n").map((line) => line.slice(0, 8)), [
    "stdin:1:",
    "stdin:2:",
    "stdin:3:",
    "",
  ]);
});

Deno.test("Shell.execute() goes on after a failure in a text, a script, and behind a quote that is not closed", async () => {
  assertEquals(await ran("say a; end 3; say b", [say, end]), {
    status: 3,
    out: "a\nends with 3\nb\n",
    err: "",
  });
  const script = await new TestShell([say, end]).run("say a\nsay 'b\nnosuch\nf('\nsay c", "s.quiesce");
  assertEquals([script.status, script.out], [2, "a\nc\n"]);
  assertEquals(script.err.split("\n").map((line) => line.slice(0, 11)), [
    "s.quiesce:2",
    "s.quiesce:3",
    "s.quiesce:4",
    "",
  ]);
});

Deno.test("Shell with bail stops at the first failure, in a text and in a pipe", async () => {
  const result = { status: 3, out: "a\nends with 3\n", err: "" };
  const bail = { bail: true };
  assertEquals(await new TestShell([say, end], bail).run("say a; end 3; say b"), result);
  assertEquals(await new TestShell([say, end], bail).pipe("say a\nend 3\nsay b"), result);
});

Deno.test("worse() orders statuses: a fault, a panic, a report, a mistake, no answer", () => {
  const order = [0, 4, 2, 1, 3, 5, 130];
  for (const [i, a] of order.entries()) {
    for (const [j, b] of order.entries()) assertEquals(worse(a, b), order[Math.max(i, j)]);
  }
});

Deno.test("Shell.serve() on a terminal goes on after a failure and leaves with 0", async () => {
  const shell = new TestShell([say, end], { terminal: true });
  const result = await shell.pipe("end 1\nnosuch\nsay still here\n");
  assertEquals([result.status, result.out], [0, "ends with 1\nstill\nhere\n"]);
  assertEquals(result.err, 'unknown command "nosuch" (help lists all)\n');
});

Deno.test("Shell.serve() joins lines of TypeScript until brackets are closed", async () => {
  const result = await new TestShell().pipe("function f() {\n  // {\n  return `\n)`\n}\nf()\nmissing\n");
  assertEquals([result.status, result.out], [2, '"\\n)"\n']);
  assertEquals(result.err, 'stdin:7: unknown command "missing" (help lists all)\n');
  assertEquals((await new TestShell().pipe("1\nf([\n2\n")).err, "stdin:2: [ is never closed\n");
});

for (const status of [STATUS.ok, STATUS.failed, STATUS.bug, STATUS.inconclusive]) {
  Deno.test(`Shell.execute() returns the status ${status} that a command returns`, async () => {
    assertEquals((await ran(`end ${status}`, [end])).status, status);
  });
}

Deno.test("Shell.execute() reports a fault of a command in one line with its place and status 5", async () => {
  const { status, out, err } = await ran("broken", [broken]);
  assertEquals([status, out], [5, ""]);
  assert(
    /^our own fault in broken: TypeError: no such thing \(tests\/repl\/shell_test\.ts:\d+:\d+\); .*\n$/.test(
      err,
    ),
    err,
  );
});

Deno.test("Shell.execute() names the nearest command and exits 2", async () => {
  assertEquals(await ran("versoin"), {
    status: 2,
    out: "",
    err: 'unknown command "versoin". Did you mean version? (help lists all)\n',
  });
  assertEquals((await ran("say --lout x", [say])).err, "say: unknown option --lout (help say)\n");
  assertEquals((await ran("helpp exit; version")).status, 2);
});

Deno.test("Shell.execute() says that a quote is not closed and carries out nothing of that command", async () => {
  const { status, out, err } = await ran("say a; say 'b", [say]);
  assertEquals([status, out, err], [2, "a\n", "say: the quote ' is never closed\n"]);
});

Deno.test("Shell.execute() keeps the order of standard output and standard error", async () => {
  const order: string[] = [];
  const warn: Command = {
    ...base,
    name: "warn",
    *run({ host }): Lines {
      yield "first";
      host.warn("second");
      host.out("third");
    },
  };
  const shell = new TestShell([warn]);
  const { out, err } = shell.shell["options"];
  Object.assign(shell.shell["options"], {
    out: (text: string) => (order.push(text), out(text)),
    err: (text: string) => (order.push(text), err(text)),
  });
  await shell.run("warn");
  assertEquals(order, ["first\n", "second\n", "third\n"]);
});

Deno.test("exit leaves with its status and carries out nothing after it", async () => {
  assertEquals(await ran("exit; say a", [say]), { status: 0, out: "", err: "" });
  assertEquals(await new TestShell([say]).pipe("say a\nquit 4\nsay b\n"), { status: 4, out: "a\n", err: "" });
  assertEquals((await ran("exit 256")).err, 'exit: status "256": must be a whole number from 0 to 255\n');
});

Deno.test("version prints the version of deno.json", async () => {
  const { out } = await ran("version");
  assert(out.startsWith(`quiesce ${VERSION} (Deno `) && out.split("\n").length === 2, out);
});

Deno.test("help lists every command under its group, and explains each", async () => {
  const { out } = await ran("help", [say, end]);
  assert(out.startsWith("@shell\n  help ") && out.includes("\n@test\n  say "), out);
  for (const command of [...shellCommands, say, end]) {
    const page = await ran(`help ${command.name}`, [say, end]);
    assertEquals([page.status, page.err], [0, ""]);
    assert(page.out.includes(command.summary), command.name);
    assertEquals(await ran(`${command.name} --help`, [say, end]), page);
  }
  assertEquals((await ran("help @test", [say])).out, "@test\n  say                for the test\n");
  assertEquals((await ran("help @tset", [say])).err, 'help: no group "@tset". Did you mean @test?\n');
  assertEquals((await ran("help quit")).out, (await ran("help exit")).out);
});

Deno.test("help COMMAND shows usage, ranges, choices and defaults from the table", async () => {
  const many: Command = {
    ...base,
    name: "many",
    options: [
      { name: "mem", type: "size", min: 8388608, max: 4294967296, default: "256M", summary: "memory" },
      { name: "rcu", type: "enum", choices: ["tree", "tiny"], summary: "flavour" },
      { name: "n", short: "n", type: "int", min: 1, summary: "how many", repeatable: true },
    ],
    args: [{ name: "file", summary: "what", required: true }],
    examples: [{ line: "many x", shows: "nothing" }],
    *run(): Lines {},
  };
  const lines = (await ran("help many", [many])).out.split("\n");
  assertEquals(lines[2], "  many [--mem SIZE] [--rcu tree|tiny] [--n N]... FILE");
  assert(lines.includes("  --mem SIZE       memory, from 8M to 4G; default 256M"), lines.join("\n"));
  assert(
    lines.includes("  -n, --n N        how many, of at least 1; may be a list with commas"),
    lines.join("\n"),
  );
  assertEquals(lines.slice(-3, -1), ["  many x", "      nothing"]);
});

Deno.test("every example of a command is a command that exists", () => {
  const registry = new Registry(shellCommands);
  for (const command of registry.commands) {
    assert(command.examples.length > 0, command.name);
    for (const { line } of command.examples) {
      const { statements, error } = parse(line, (word) => registry.find(word) !== undefined);
      assertEquals([error, statements.every(({ kind }) => kind === "command")], [undefined, true], line);
    }
  }
});

Deno.test("Registry refuses two commands of one name", () => {
  assertThrows(
    () => new Registry([say, { ...end, aliases: ["say"] }]),
    TypeError,
    'two commands are called "say"',
  );
});

const pick: Command = {
  ...base,
  name: "pick",
  options: [
    { name: "rcu", type: "enum", choices: ["tree", "tiny"], summary: "flavour" },
    { name: "quiet", type: "flag", summary: "say less" },
  ],
  args: [{ name: "what", summary: "what", choices: ["alpha", "beta"] }],
  complete: () => ["0x1000"],
  *run(): Lines {},
};

const TABS: readonly (readonly [string, readonly string[], string])[] = [
  ["ver", ["version"], "ver"],
  ["exi", ["exit"], "exi"],
  [".h", [".history"], ".h"],
  ["version; pi", ["pick"], "pi"],
  ["pick ", ["0x1000", "alpha", "beta"], ""],
  ["pick b", ["beta"], "b"],
  ["pick --", ["--quiet", "--rcu"], "--"],
  ["pick --rcu t", ["tiny", "tree"], "t"],
  ["pick --quiet a", ["alpha"], "a"],
  ["pick alpha a", [], "a"],
  ["help @", ["@shell", "@test"], "@"],
  ["kern", ["kernel"], "kern"],
  ["1 + kernel.cp", ["kernel.cpus"], "kernel.cp"],
  ["kernel.cpus.len", ["kernel.cpus.length"], "kernel.cpus.len"],
  ["nothing.x", [], "nothing.x"],
  ["let v = ver", [], "ver"],
];

for (const [line, candidates, partial] of TABS) {
  Deno.test(`Shell.complete() offers for ${JSON.stringify(line)}: ${candidates.join(" ")}`, () => {
    const shell = new TestShell([pick]);
    shell.session.set("kernel", {
      cpus: [1],
      get trap(): never {
        throw new Error("a getter was run");
      },
    });
    assertEquals(shell.shell.complete(line), [[...candidates], partial]);
  });
}

Deno.test("distance() counts insert, delete, replace and swap as one", () => {
  const rows = [["", "abc", 3], ["boot", "bot", 1], ["boot", "boat", 1], ["leaks", "leask", 1], [
    "run",
    "ps",
    3,
  ]] as const;
  for (const [a, b, d] of rows) assertEquals([distance(a, b), distance(b, a)], [d, d]);
});

Deno.test("didYouMean() offers only what is near", () => {
  const names = ["boot", "buddyinfo", "slabinfo", "ps", "step"];
  assertEquals(["slabinf", "bott", "slab", "pss", "zzz"].map((word) => didYouMean(word, names)), [
    ". Did you mean slabinfo?",
    ". Did you mean boot?",
    ". Did you mean slabinfo?",
    ". Did you mean ps?",
    "",
  ]);
});

/** ^C that the test presses. */
class TestInterrupts implements Interrupts {
  pressed = false;
  readonly log: string[] = [];
  begin(): void {
    this.pressed = false;
    this.log.push("begin");
  }
  prepare(): void {}
  requested(): boolean {
    return this.pressed;
  }
  settled(): Promise<void> {
    return Promise.resolve();
  }
  end(): void {
    this.pressed = false;
    this.log.push("end");
  }
}

Deno.test("Shell.execute() ends a long run at its next breath when ^C was pressed, and its finally blocks run", async () => {
  const interrupts = new TestInterrupts();
  const seen: unknown[] = [];
  const spin: Command = {
    ...base,
    name: "spin",
    *run({ host }): Lines {
      try {
        for (let i = 0;; i++) {
          if (i === 3) interrupts.pressed = true;
          seen.push(host.interrupted());
          yield i % 2 === 0 ? `tick ${i}` : BREATHE;
        }
      } finally {
        seen.push("cleaned up", host.signal.aborted);
      }
    },
  };
  const shell = new TestShell([spin, say], { terminal: true, interrupts });
  assertEquals(await shell.run("spin; say a"), {
    status: 130,
    out: "tick 0\ntick 2\n",
    err: "spin: interrupted\n",
  });
  assertEquals(seen, [false, false, false, true, "cleaned up", true]);
  assertEquals(await shell.run("say b"), { status: 0, out: "b\n", err: "" });
  assertEquals(interrupts.log, ["begin", "end", "begin", "end"]);
});

Deno.test("Shell.execute() ends a wait when ^C is pressed, in an async command and in TypeScript", async () => {
  const interrupts = new TestInterrupts();
  const wait: Command = {
    ...base,
    name: "wait",
    // deno-lint-ignore require-yield
    async *run({ host }): Lines {
      setTimeout(() => interrupts.pressed = true, 0);
      await new Promise<void>((resolve) => host.signal.addEventListener("abort", () => resolve()));
      throw new FailedError("given up");
    },
  };
  const shell = new TestShell([wait], { terminal: true, interrupts });
  assertEquals(await shell.run("wait"), { status: 1, out: "", err: "given up\n" });
  shell.session.set("press", () => setTimeout(() => interrupts.pressed = true, 0));
  const result = await shell.run("press(); await new Promise(() => {})");
  assertEquals(result, { status: 130, out: "", err: "interrupted\n" });
});

Deno.test("Host.ask() takes the next line of the pipe, or of the input that belongs to a script", async () => {
  const ask: Command = {
    ...base,
    name: "ask",
    async *run({ host }): Lines {
      yield `answer: ${await host.ask("? ")}`;
    },
  };
  assertEquals(
    (await new TestShell([ask]).pipe("ask\nforty-two\nask\n")).out,
    "answer: forty-two\nanswer: undefined\n",
  );
  const script = new TestShell([ask], { answers: "one\ntwo\n" });
  assertEquals((await script.run("ask; ask; ask")).out, "answer: one\nanswer: two\nanswer: undefined\n");
});

Deno.test("Host.execute() carries out a text inside a command, and its output stays in order", async () => {
  const tour: Command = {
    ...base,
    name: "tour",
    async *run({ host }): Lines {
      yield "before";
      yield `status ${await host.execute("say inside; end 3; say after")}`;
    },
  };
  assertEquals((await ran("tour", [tour, say, end])).out, "before\ninside\nends with 3\nafter\nstatus 3\n");
});

Deno.test(".history lists what was typed on a terminal, without repeats", async () => {
  const shell = new TestShell([say], { terminal: true });
  await shell.pipe("say a\nsay a\n\nsay b\n");
  assertEquals((await shell.run(".history")).out, "    1  say a\n    2  say b\n");
  assertEquals((await shell.run(".history 1")).out, "    2  say b\n");
});
