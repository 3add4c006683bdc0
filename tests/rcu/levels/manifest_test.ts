// SPDX-License-Identifier: GPL-2.0-only
/**
 * The manifest of rcu/levels/ against the syntax trees of its files: exactly what is declared differs between neighbours.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { kvfreeOps, kvfreeStatics } from "../../../rcu/kvfree.ts";
import { entryOf, MANIFEST } from "../../../rcu/levels/manifest.ts";
import { MACROS, TINY, TREE } from "../../../rcu/levels/table.ts";
import { changesBetween, checkManifest, levelDeclarations } from "../../../tools/levels.ts";
import { declarationsOf } from "../../../repl/level_source.ts";
import { checkConfig, LEVELS } from "../../../mod.ts";
import { SOURCES } from "./sources.ts";

function source(file: string): string {
  const text = SOURCES[file];
  assert(text !== undefined, `no source of ${file}`);
  return text;
}

Deno.test("exactly the declared functions, structs, constants and macros differ between a level and its parent", () => {
  assertEquals(checkManifest(source), []);
});

Deno.test("a function that changes without being declared is found, and one that is declared and does not", () => {
  const touched = source("tree/3of7").replace("krcp.monitor_todo = false;", "krcp.monitor_todo = true;");
  const more = checkManifest((file) => file === "tree/3of7" ? touched : source(file));
  assert(
    more.some((line) => /^3\/7 tree: \w+ is changed, which the manifest does not say$/.test(line)),
    more.join(),
  );
  const less = checkManifest((file) => file === "tree/3of7" ? source("tree/2of7") : source(file));
  assert(less.includes("3/7 tree: kvfree_call_rcu is not changed, as the manifest says"), less.join());
});

Deno.test("a comment, or another order, is no change; another constant, or an overload, is", () => {
  const a = levelDeclarations("tree/x", "/** A. */\nconst A = 1;\nfunction f(): void {}\n");
  const b = levelDeclarations("tree/x", "function f(): void {\n  // nothing\n}\nconst A = 1;\n");
  assertEquals(changesBetween(a, b), {});
  const c = levelDeclarations("tree/x", "function f(): void;\nfunction f(): void {}\nconst A = 2;\n");
  assertEquals(changesBetween(a, c), { functions: { changed: ["f"] }, constants: { changed: ["A"] } });
});

Deno.test("every level has its entry, a parent before it, a subject, a date and what it says", () => {
  assertEquals(MANIFEST.map(({ label }) => label), [...LEVELS]);
  for (const { label, parent, subject, date, says, messageId, commits } of MANIFEST) {
    if (label === "base") assertEquals(parent, null);
    else assert(parent !== null && LEVELS.indexOf(parent) < LEVELS.indexOf(label), label);
    assert(subject.length > 0 && says.length > 0, label);
    assertMatch(date, /^20\d\d-\d\d-\d\d$/);
    if (messageId !== null) assertMatch(messageId, /^[^\s<>@]+@[^\s<>@]+$/);
    for (const commit of commits) assertMatch(commit, /^[0-9a-f]{12}$/);
    for (const sentence of says) assertMatch(sentence, /\.$/);
  }
  assertEquals(entryOf("v6.3-rc1").parent, "v6.1");
  assertEquals(entryOf("v6.1.192").parent, "v6.1");
});

Deno.test("the seven patches of the series have the Message-Ids of 2020-03-23", () => {
  for (let i = 1; i <= 7; i++) {
    const { messageId, subject, date } = MANIFEST[i];
    assertEquals([messageId, date], [`20200323113621.12048-${i + 1}-urezki@gmail.com`, "2020-03-23"]);
    assertMatch(subject, new RegExp(`^\\[PATCH ${i}/7\\]`));
  }
});

Deno.test("v6.1.192 changes what the back-port of the fix changed, and nothing else", () => {
  const { functions, ...rest } = entryOf("v6.1.192").changes.tree ?? {};
  assertEquals(functions, { added: ["need_wait_for_krwp_work"], changed: ["kfree_rcu_monitor"] });
  assertEquals(Object.keys(rest).filter((kind) => kind !== "ours"), []);
});

Deno.test("the table has for each level the files that its entry names", async () => {
  for (const { label, files } of MANIFEST) {
    const load = async (file: string): Promise<Record<string, unknown>> =>
      await import(`../../../rcu/levels/${file}.ts`);
    assertEquals((await load(files.tree)).level, TREE[label], `${label} tree`);
    assertEquals((await load(files.tiny)).level, TINY[label], `${label} tiny`);
    assertEquals((await load(files.macros)).macros, MACROS[label], `${label} macros`);
  }
});

Deno.test("a machine gets the functions and the variables of its level, of its flavour alone", () => {
  for (const level of LEVELS) {
    for (const rcu of ["tree", "tiny"] as const) {
      const config = checkConfig({ level, rcu });
      const { ops, statics } = rcu === "tree" ? TREE[level] : TINY[level];
      const got: object = kvfreeOps(config);
      for (const [name, value] of Object.entries({ ...ops, macros: MACROS[level] })) {
        assertEquals(Reflect.get(got, name), value, name);
      }
      assertEquals(kvfreeStatics(config), statics);
    }
  }
});

Deno.test("`series diff` finds the declarations that the syntax tree has", () => {
  for (const [file, text] of Object.entries(SOURCES)) {
    const names = [...declarationsOf(text).keys()].filter((name) => !name.startsWith("{"));
    const shared: readonly string[] =
      /import \{([^}]*)\} from "[^"]*\/kvfree_bulk\.ts"/.exec(text)?.[1].match(/\w+/g) ?? [];
    const tree = [...levelDeclarations(file, text).keys()].filter((name) => !shared.includes(name));
    assertEquals(tree.filter((name) => !names.includes(name)), [], file);
    assertEquals(names.filter((name) => !tree.includes(name)), [], file);
  }
});
