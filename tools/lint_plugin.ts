// SPDX-License-Identifier: GPL-2.0-only
/**
 * The project's own `deno lint` rules; registered in deno.json under `lint.plugins`.
 *
 *   quiesce/forgotten-yield      a call to a generator that is not the operand of `yield*`: it does nothing
 *   quiesce/no-address-bits      `| & >> << >>> ^ ~` on an address: JavaScript would truncate it to 32 bits
 *   quiesce/no-host              the clock, randomness, the console and other ways out of the pure layers
 *   quiesce/no-top-level-arrow   mirrored functions are declarations, as in C
 *   quiesce/explicit-return-type functions, methods and named function values say what they return: it is their colour;
 *                                callbacks may leave it to what is expected of them
 *
 * The rules look at one file and at names only, so they run in the editor while one types. What needs types (a
 * generator reached through a variable, an address hidden in an expression) is found by tools/check_yield.ts.
 *
 * @module
 */

import generatorNames from "./generator_names.json" with { type: "json" };
import { isMirror, isPure, relative } from "./folders.ts";

type Node = Deno.lint.Node;
type Context = Deno.lint.RuleContext;

/** Return types that make a function a generator whatever its body is; `Colour` is one of the other two, by flags. */
const COLOURS = new Set(["Atomic", "MaySleep", "Colour"]);
/** Types that a variable must name when it holds a generator on purpose. */
const GENERATOR_TYPES = new Set([...COLOURS, "Coroutine", "Generator", "Iterator", "Iterable"]);
const ADDRESS_TYPES = new Set(["VirtAddr", "PhysAddr", "Ptr"]);

/** Name of a type annotation such as `: Atomic<void>`, also inside a union; "" when it has none of `names`. */
function annotates(annotation: Node | null | undefined, names: ReadonlySet<string>): boolean {
  if (!annotation) return false;
  switch (annotation.type) {
    case "TSTypeAnnotation":
      return annotates(annotation.typeAnnotation, names);
    case "TSUnionType":
      return annotation.types.some((type) => annotates(type, names));
    case "TSTypeReference":
      return annotation.typeName.type === "Identifier" && names.has(annotation.typeName.name);
    default:
      return false;
  }
}

/** Strips what does not change a value: parentheses are not nodes, casts and `!` are. */
function bare(node: Node): Node {
  let inner = node;
  while (
    inner.type === "TSAsExpression" || inner.type === "TSNonNullExpression" ||
    inner.type === "TSSatisfiesExpression" || inner.type === "TSTypeAssertion"
  ) inner = inner.expression;
  return inner;
}

/** Nodes are handed out anew at each visit, so they are compared by where they stand. */
function same(a: Node, b: Node): boolean {
  return a.type === b.type && a.range[0] === b.range[0] && a.range[1] === b.range[1];
}

/** The name by which a callee or an operand is known: `f`, or `f` of `a.b.f`. */
function lastName(node: Node): string {
  const inner = bare(node);
  if (inner.type === "Identifier") return inner.name;
  if (inner.type === "MemberExpression" && inner.property.type === "Identifier" && !inner.computed) {
    return inner.property.name;
  }
  return "";
}

// ---- forgotten-yield ---------------------------------------------------------------------------------------------

/** Generators of other files: functions called by name, and members called as `table.name()`. */
export interface GeneratorNames {
  functions: string[];
  members: string[];
}

/** What a file itself says about names: function name → is it a generator? */
function declaredFunctions(program: Deno.lint.Program): Map<string, boolean> {
  const found = new Map<string, boolean>();
  const visit = (statement: Node | null | undefined): void => {
    if (!statement) return;
    if (statement.type === "ExportNamedDeclaration" || statement.type === "ExportDefaultDeclaration") {
      visit(statement.declaration as Node);
    } else if (statement.type === "FunctionDeclaration" || statement.type === "TSDeclareFunction") {
      if (statement.id === null || statement.id === undefined) return;
      const { name } = statement.id;
      const coloured = annotates(statement.returnType, COLOURS);
      // `function*` that says it yields something else is an ordinary iterator, made for `for ... of`.
      const stepper = statement.type === "FunctionDeclaration" && statement.generator &&
        !statement.returnType;
      found.set(name, coloured || stepper || found.get(name) === true);
    }
  };
  program.body.forEach(visit);
  return found;
}

/** True where a generator may stand without `yield*`. */
function isHandedOn(call: Node, parents: Node[], strict: boolean): boolean {
  let child = call;
  for (const parent of parents) {
    switch (parent.type) {
      case "YieldExpression":
        return parent.delegate;
      case "TSAsExpression":
      case "TSNonNullExpression":
        break;
      case "ConditionalExpression":
        if (same(parent.test, child)) return false;
        break;
      case "LogicalExpression":
        if (same(parent.left, child)) return false;
        break;
      case "ArrowFunctionExpression":
        // `(k) => thread_fn(k, x)`: without a declared type, what is expected of it decides, and that takes types.
        if (!parent.returnType) return true;
        return !strict || returnsGenerator(parent, parents);
      case "ReturnStatement":
        return !strict || returnsGenerator(parent, parents);
      case "CallExpression":
        return !strict || lastName(parent.callee) === "push"; // a stack of coroutines
      case "VariableDeclarator":
        return !strict ||
          (parent.id.type === "Identifier" && annotates(parent.id.typeAnnotation, GENERATOR_TYPES));
      case "ExpressionStatement":
      case "IfStatement":
      case "WhileStatement":
      case "DoWhileStatement":
      case "ForStatement":
      case "UnaryExpression":
        return false;
      default:
        return !strict;
    }
    child = parent;
  }
  return !strict;
}

/** True when the function around `at` says that it returns a generator: a plain function that forwards one. */
function returnsGenerator(at: Node, parents: Node[]): boolean {
  for (const parent of parents.slice(parents.indexOf(at))) {
    switch (parent.type) {
      case "FunctionDeclaration":
      case "FunctionExpression":
      case "ArrowFunctionExpression":
        return !(parent.generator) && annotates(parent.returnType, GENERATOR_TYPES);
    }
  }
  return false;
}

/** Folders whose code runs on the emulated CPUs; elsewhere (tests, the shell) generators are also values. */
const ON_CPU = ["kernel/", "mm/", "rcu/", "init/", "examples/"];

/** `Deno.exit()`, or the shell's `host.exit()`, is not the exit function of a module. */
function isHost(object: Node): boolean {
  return object.type === "Identifier" && (object.name === "Deno" || object.name === "host");
}

function forgottenYield(known: GeneratorNames): Deno.lint.Rule {
  const functions = new Set(known.functions);
  const members = new Set(known.members);
  return {
    create(context: Context): Deno.lint.LintVisitor {
      const path = relative(context.filename);
      const strict = ON_CPU.some((folder) => path.startsWith(folder)) && !path.startsWith("kernel/machine/");
      let here = new Map<string, boolean>();
      const isGenerator = (callee: Node): boolean => {
        const inner = bare(callee);
        const name = lastName(inner);
        if (inner.type === "Identifier") return here.get(name) ?? functions.has(name);
        return inner.type === "MemberExpression" && members.has(name) && !isHost(inner.object);
      };
      return {
        Program(program): void {
          here = declaredFunctions(program);
        },
        CallExpression(call): void {
          if (!isGenerator(call.callee)) return;
          const parents = context.sourceCode.getAncestors(call).toReversed();
          if (isHandedOn(call, parents, strict)) return;
          const name = lastName(call.callee);
          context.report({
            node: call,
            message: `${name}() is a generator: without yield* the call does nothing`,
            hint: `Write \`yield* ${name}(...)\`, or declare what passes it on as a generator.`,
          });
        },
      };
    },
  };
}

// ---- no-address-bits ---------------------------------------------------------------------------------------------

const BIT_OPERATORS = new Set(["|", "&", ">>", "<<", ">>>", "^", "|=", "&=", ">>=", "<<=", ">>>=", "^="]);
const ADDRESS_NAME = /(?:addr|ptr)$/i;
const MAY_SPLIT_ADDRESSES = ["kernel/machine/addr.ts", "kernel/machine/ram.ts"];

const FUNCTIONS = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);
const WHOLE_FILE: Deno.lint.Range = [0, Infinity];

/** What a file says about names: is this one, here, an address? */
class AddressNames {
  private readonly variables = new Map<string, { address: boolean; scope: Deno.lint.Range }[]>();
  private readonly members = new Map<string, boolean>();

  /** A variable or parameter with a type; `scope` is the function around it. */
  declare(name: string, address: boolean, scope: Deno.lint.Range): void {
    const list = this.variables.get(name);
    if (list === undefined) this.variables.set(name, [{ address, scope }]);
    else list.push({ address, scope });
  }

  /** A field; a name that is an address in one class and something else in another tells nothing. */
  declareMember(name: string, address: boolean): void {
    this.members.set(name, address && this.members.get(name) !== false);
  }

  isAddress(operand: Node): boolean {
    const inner = bare(operand);
    const name = lastName(inner);
    if (ADDRESS_NAME.test(name)) return true;
    if (inner.type !== "Identifier") return this.members.get(name) ?? false;
    const [from, to] = inner.range;
    const around = (this.variables.get(name) ?? []).filter(({ scope }) => scope[0] <= from && to <= scope[1]);
    around.sort((a, b) => b.scope[0] - a.scope[0]);
    return around[0]?.address ?? false;
  }
}

const noAddressBits: Deno.lint.Rule = {
  create(context: Context): Deno.lint.LintVisitor {
    if (MAY_SPLIT_ADDRESSES.includes(relative(context.filename))) return {};
    const names = new AddressNames();
    const operations: { node: Node; operator: string; operands: Node[] }[] = [];
    return {
      Identifier(node): void {
        if (!node.typeAnnotation) return;
        const scope = context.sourceCode.getAncestors(node).findLast((it) => FUNCTIONS.has(it.type));
        names.declare(node.name, annotates(node.typeAnnotation, ADDRESS_TYPES), scope?.range ?? WHOLE_FILE);
      },
      PropertyDefinition(node): void {
        if (node.key.type === "Identifier") {
          names.declareMember(node.key.name, annotates(node.typeAnnotation, ADDRESS_TYPES));
        }
      },
      TSPropertySignature(node): void {
        if (node.key.type === "Identifier") {
          names.declareMember(node.key.name, annotates(node.typeAnnotation, ADDRESS_TYPES));
        }
      },
      BinaryExpression(node): void {
        if (BIT_OPERATORS.has(node.operator)) {
          operations.push({ node, operator: node.operator, operands: [node.left, node.right] });
        }
      },
      AssignmentExpression(node): void {
        if (BIT_OPERATORS.has(node.operator)) {
          operations.push({ node, operator: node.operator, operands: [node.left, node.right] });
        }
      },
      UnaryExpression(node): void {
        if (node.operator === "~") operations.push({ node, operator: "~", operands: [node.argument] });
      },
      "Program:exit"(): void {
        for (const { node, operator, operands } of operations) {
          const operand = operands.find((it) => names.isAddress(it));
          if (operand === undefined) continue;
          const name = lastName(operand);
          context.report({
            node,
            message: `\`${operator}\` truncates the address ${name} to 32 bits`,
            hint: "Use the helpers of kernel/machine/addr.ts.",
          });
        }
      },
    };
  },
};

// ---- no-host -----------------------------------------------------------------------------------------------------

/** Globals that let a run depend on, or act on, the machine it runs on. */
const HOST = new Set([
  "Date",
  "Deno",
  "Intl",
  "Temporal",
  "FinalizationRegistry",
  "WeakRef",
  "Worker",
  "clearInterval",
  "clearTimeout",
  "console",
  "crypto",
  "document",
  "fetch",
  "globalThis",
  "localStorage",
  "navigator",
  "performance",
  "process",
  "queueMicrotask",
  "requestAnimationFrame",
  "self",
  "setImmediate",
  "setInterval",
  "setTimeout",
  "window",
]);
/** Methods whose result depends on the host's language settings. */
const LOCALE = new Set(["localeCompare", "toLocaleString", "toLocaleLowerCase", "toLocaleUpperCase"]);

/** True when `node` names a member or declares a name instead of reading a variable. */
function isOnlyAName(node: Node, parent: Node): boolean {
  switch (parent.type) {
    case "MemberExpression":
      return same(parent.property, node) && !parent.computed;
    case "Property":
      return same(parent.key, node) && !parent.computed && !parent.shorthand;
    case "PropertyDefinition":
    case "MethodDefinition":
    case "TSPropertySignature":
    case "TSMethodSignature":
    case "TSEnumMember":
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
    case "ImportSpecifier":
    case "ExportSpecifier":
    case "TSQualifiedName":
      return true;
    default:
      return false;
  }
}

const noHost: Deno.lint.Rule = {
  create(context: Context): Deno.lint.LintVisitor {
    if (!isPure(relative(context.filename))) return {};
    const uses: { node: Node; name: string }[] = [];
    const declared = new Set<string>();
    /** Parameters and variables of that name are not the host's. */
    const declare = (pattern: Node | null | undefined): void => {
      if (!pattern) return;
      if (pattern.type === "Identifier") declared.add(pattern.name);
      else if (pattern.type === "AssignmentPattern") declare(pattern.left);
      else if (pattern.type === "RestElement") declare(pattern.argument);
      else if (pattern.type === "ArrayPattern") pattern.elements.forEach(declare);
      else if (pattern.type === "ObjectPattern") {
        for (const entry of pattern.properties) declare(entry.type === "Property" ? entry.value : entry);
      }
    };
    const declareFunction = (node: { params: Deno.lint.Parameter[]; id?: Node | null }): void => {
      declare(node.id);
      for (const param of node.params) {
        declare(param.type === "TSParameterProperty" ? param.parameter : param);
      }
    };
    return {
      FunctionDeclaration: declareFunction,
      FunctionExpression: declareFunction,
      ArrowFunctionExpression: declareFunction,
      VariableDeclarator(node): void {
        declare(node.id);
      },
      ClassDeclaration(node): void {
        declare(node.id);
      },
      ImportSpecifier(node): void {
        declare(node.local);
      },
      Identifier(node): void {
        const parents = context.sourceCode.getAncestors(node);
        const parent = parents[parents.length - 1];
        if (HOST.has(node.name) && !isOnlyAName(node, parent)) uses.push({ node, name: node.name });
      },
      MemberExpression(node): void {
        const name = lastName(node);
        if (LOCALE.has(name)) uses.push({ node, name });
        if (name === "random" && lastName(node.object) === "Math") uses.push({ node, name: "Math.random" });
      },
      ImportExpression(node): void {
        uses.push({ node, name: "import()" });
      },
      "Program:exit"(): void {
        const reported = new Set<string>();
        for (const { node, name } of uses) {
          const place = node.range.join();
          if (declared.has(name) || reported.has(place)) continue;
          reported.add(place); // a shorthand property is visited twice
          context.report({
            node,
            message: `${name} belongs to the host: a run must be a function of its input alone`,
            hint: "Take time, choices and output from the kernel object; do I/O in repl/.",
          });
        }
      },
    };
  },
};

// ---- no-top-level-arrow ------------------------------------------------------------------------------------------

const noTopLevelArrow: Deno.lint.Rule = {
  create(context: Context): Deno.lint.LintVisitor {
    if (!isMirror(relative(context.filename))) return {};
    const check = (declaration: Node | null | undefined): void => {
      if (declaration?.type !== "VariableDeclaration") return;
      for (const { id, init } of declaration.declarations) {
        const value = init && bare(init);
        if (value?.type !== "ArrowFunctionExpression" && value?.type !== "FunctionExpression") continue;
        context.report({
          node: value,
          message: `${lastName(id)} is a top-level function expression`,
          hint: `Write \`function ${lastName(id)}(...)\`: mirrored functions are declarations, in C order.`,
        });
      }
    };
    return {
      Program(program): void {
        for (const statement of program.body) {
          check(statement.type === "ExportNamedDeclaration" ? statement.declaration as Node : statement);
        }
      },
    };
  },
};

// ---- explicit-return-type ----------------------------------------------------------------------------------------

const explicitReturnType: Deno.lint.Rule = {
  create(context: Context): Deno.lint.LintVisitor {
    const report = (node: Node, name: string): void => {
      context.report({
        node,
        message: `${name || "function"} does not say what it returns`,
        hint: "Declare the return type: inference would hide whether it may sleep.",
      });
    };
    return {
      FunctionDeclaration(node): void {
        if (!node.returnType) report(node.id ?? node, node.id?.name ?? "");
      },
      MethodDefinition(node): void {
        if (node.kind !== "constructor" && node.kind !== "set" && !node.value.returnType) {
          report(node.key, node.key.type === "Identifier" ? node.key.name : "");
        }
      },
      VariableDeclarator(node): void {
        const value = node.init;
        if (value?.type !== "ArrowFunctionExpression" && value?.type !== "FunctionExpression") return;
        if (node.id.type !== "Identifier" || node.id.typeAnnotation || value.returnType) return;
        report(node.id, node.id.name);
      },
    };
  },
};

/** The rules, with `known` as the generators that a file may call without declaring them. */
export function makePlugin(known: GeneratorNames): Deno.lint.Plugin {
  return {
    name: "quiesce",
    rules: {
      "forgotten-yield": forgottenYield(known),
      "no-address-bits": noAddressBits,
      "no-host": noHost,
      "no-top-level-arrow": noTopLevelArrow,
      "explicit-return-type": explicitReturnType,
    },
  };
}

const plugin: Deno.lint.Plugin = makePlugin(generatorNames);
export default plugin;
