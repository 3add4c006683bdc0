// SPDX-License-Identifier: GPL-2.0-only
// Faults on purpose: make exactly this allocation fail.
//
// Ours. A rule is armed between runs and belongs to what a TOKEN holds. Invariant: a rule that can never match is
// refused in one line.

import type { FailRule } from "../../kernel/fault_inject.ts";
import type { Arguments } from "../arguments.ts";
import { type Command, heading, type Lines, row } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { didYouMean } from "../nearest.ts";
import { UsageError } from "../status.ts";

const fail: Command<KernelSession> = {
  name: "fail",
  group: "faults",
  summary: "make allocations fail in the runs to come",
  kind: "configure",
  usage:
    "fail slab|page [--site F] [--cache C] [--order O] [--gfp FLAGS] [--nth K] [--times T] | fail list|clear",
  description:
    "What is not given matches everything. Flags are joined by + or a quoted |; all of them must be set.\n" +
    "The site is the innermost function outside mm/ that asks.",
  options: [
    { name: "site", value: "F", type: "string", names: "symbol", summary: "function that asks" },
    { name: "cache", value: "C", type: "string", names: "cache", summary: "slab cache, such as kmalloc-32" },
    { name: "order", value: "O", type: "int", min: 0, max: 10, summary: "order of the block of pages" },
    { name: "gfp", value: "FLAGS", type: "string", summary: "GFP flags that are set" },
    { name: "nth", value: "K", type: "int", min: 1, summary: "the first match that fails; 1 if not given" },
    {
      name: "times",
      value: "T",
      type: "int",
      min: -1,
      summary: "how many fail; 1 if not given, -1 for ever",
    },
  ],
  args: [{
    name: "what",
    summary: "what to fail, or list or clear the rules",
    type: "enum",
    choices: ["slab", "page", "list", "clear"],
    required: true,
  }],
  examples: [
    { line: "fail slab --site ext4_kvfree_array_rcu --times -1", shows: "the rule and its number" },
    { line: "fail page --order 0 --gfp GFP_NOWAIT+__GFP_NOWARN --nth 2", shows: "the rule and its number" },
    { line: "fail list", shows: "the rules, and how often each matched and failed" },
    { line: "fail clear", shows: "nothing; there are no rules then" },
  ],
  async *run({ bench, k }, args): Lines {
    const { failRuleText, listFailRules } = await import("../../kernel/fault_inject.ts");
    switch (args.text("what")) {
      case "list": {
        const rules = listFailRules(k);
        if (rules.length === 0) yield heading("no rules");
        for (const { id, rule, matches, failures } of rules) {
          const line = `rule ${id}: ${failRuleText(rule)}: ${matches} matched, ${failures} failed`;
          yield row("rule", { id, rule: failRuleText(rule), matched: matches, failed: failures }, line);
        }
        return;
      }
      case "clear":
        bench.clearFaults();
        return;
      default: {
        const rule = await ruleOf(args);
        try {
          bench.addFault(rule);
        } catch (error) {
          if (error instanceof RangeError || error instanceof TypeError) {
            throw new UsageError(`fail: ${error.message}`);
          }
          throw error;
        }
        const id = listFailRules(k).at(-1)?.id;
        yield row("rule", { id, rule: failRuleText(rule) }, `rule ${id}: ${failRuleText(rule)}`);
      }
    }
  },
};

async function ruleOf(args: Arguments): Promise<FailRule> {
  return {
    what: args.text("what") as FailRule["what"],
    ...(args.has("site") ? { site: args.text("site") } : {}),
    ...(args.has("cache") ? { cache: args.text("cache") } : {}),
    ...(args.has("order") ? { order: args.int("order") } : {}),
    ...(args.has("gfp") ? { gfp: await gfpFlags(args.text("gfp")) } : {}),
    ...(args.has("nth") ? { nth: args.int("nth") } : {}),
    ...(args.has("times") ? { times: args.int("times") } : {}),
  };
}

/** `GFP_KERNEL+__GFP_NOWARN` as a number. */
async function gfpFlags(text: string): Promise<number> {
  const known = await import("../../kernel/gfp.ts") as unknown as Record<string, unknown>;
  const names = Object.keys(known).filter((name) =>
    /^_{0,3}GFP_/.test(name) && typeof known[name] === "number"
  );
  let flags = 0;
  for (const name of text.split(/[+|,]/)) {
    if (!names.includes(name)) {
      throw new UsageError(`fail: --gfp: no flag is called "${name}"${didYouMean(name, names)}`);
    }
    flags |= known[name] as number;
  }
  return flags;
}

/** In the order in which `help` lists them. */
export const faultCommands: readonly Command<KernelSession>[] = [fail];
