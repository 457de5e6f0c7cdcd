/** What does one call of C cost over the same call from C? */
import { cstring } from "../ffi/cstring.ts";
import { libc } from "../ffi/libc.ts";
import { ffi, type Pointer } from "../ffi/mod.ts";
import { mapMemory, offset } from "../ffi/native_memory.ts";
import { ort } from "../src/ort/environment.ts";
import { addCase } from "./support/cases.ts";
import { contest, type Contestant, ratio, type Result } from "./support/contest.ts";
import { ScratchFolder } from "./support/ending.ts";
import { Floor, HOW, openFloorLibrary } from "./support/floor.ts";
import { openSession } from "./support/open_session.ts";
import { header, remark, type Row, table } from "./support/report.ts";
import { timeGroups } from "./support/timing.mjs";

/** Calls that are timed as one: a single one is over before the clock is read. */
const CALLS = 1000;
const NO_OP = { parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64"], result: "void" } as const;

interface Way {
  readonly contestant: Contestant;
  readonly floor?: string;
}

/** A loop of `CALLS` calls. Each has its own, so that the engine compiles it for this one callee. */
function looping(name: string, loop: () => void, floor: string): Way {
  const measure = async (ms: number): Promise<number[]> => (await timeGroups(loop, ms)).map((ns) => ns / CALLS);
  return { contestant: { name, measure }, floor };
}

function inC(name: string, floor: Floor, how: number): Way {
  return { contestant: { name, measure: () => Promise.resolve(floor.measure(how, 100, CALLS)) } };
}

function functionOf(library: string, name: string): Pointer {
  const handle = libc().dlopen(cstring(library), 2 /* RTLD_NOW */);
  return libc().dlsym(handle, cstring(name))!;
}

function noOps(noOp: (...args: Parameters<Called>) => void, linked: Called, bound: Called): Way[] {
  return [
    looping("no-op, symbol of a library", () => {
      for (let i = 0; i < CALLS; i++) noOp(0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n);
    }, "no-op, C"),
    looping("no-op, linked by address, as OrtApi is", () => {
      for (let i = 0; i < CALLS; i++) linked(0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n);
    }, "no-op, C"),
    looping("no-op, bound by address (the fallback)", () => {
      for (let i = 0; i < CALLS; i++) bound(0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n);
    }, "no-op, C"),
  ];
}

type Called = (a: bigint, b: bigint, c: bigint, d: bigint, e: bigint, f: bigint, g: bigint, h: bigint) => void;

/** An OrtApi function that answers with a status, and a libc function. */
function realCalls(): Way[] {
  const { api, allocator } = ort(), memory = mapMemory(4096), out = memory.pointer, answer = offset(memory, 64);
  api.CreateTensorAsOrtValue(allocator, new BigInt64Array([2n]), 1n, 1, out);
  const value = ffi.pointer(new BigUint64Array(ffi.view(out, 8))[0]!)!, attributes = offset(memory, 128);
  const { pthread_mutexattr_init } = libc();
  return [
    looping("OrtApi IsTensor, a status returned", () => {
      for (let i = 0; i < CALLS; i++) api.IsTensor(value, answer);
    }, "OrtApi IsTensor, C"),
    looping("libc pthread_mutexattr_init", () => {
      for (let i = 0; i < CALLS; i++) pthread_mutexattr_init(attributes);
    }, "libc pthread_mutexattr_init, C"),
  ];
}

function row(results: ReadonlyMap<string, Result>, { contestant: { name }, floor }: Way): Row {
  const result = results.get(name)!, under = floor === undefined ? undefined : results.get(floor);
  return { what: name, "p50 ns": result.p50, "p99 ns": result.p99, "x floor": under && ratio(result, under) };
}

if (import.meta.main) {
  await header("What does one call of C cost over the same call from C?");
  using folder = new ScratchFolder();
  const model = addCase(folder.path), { session, pointer } = await openSession(model);
  await using _session = session;
  using closing = new DisposableStack();
  const library = openFloorLibrary(folder.path), ways: Way[] = [];
  if (typeof library === "string") {
    remark(`no floor, and no no-op: ${library}`);
  } else {
    const floor = closing.use(new Floor(library, model, pointer)),
      address = functionOf(folder.join("floor.so"), "floor_no_op");
    const { symbols, fast } = ffi.link({ noOp: address }, { noOp: NO_OP });
    remark(`functions by their address: ${fast === true ? "at C speed" : `slow: ${fast}`}`);
    ways.push(inC("no-op, C", floor, HOW.noOp));
    ways.push(...noOps(library.floor_no_op, symbols.noOp, ffi.bind(address, NO_OP)));
    ways.push(inC("OrtApi IsTensor, C", floor, HOW.statusCall));
    ways.push(inC("libc pthread_mutexattr_init, C", floor, HOW.libcCall));
  }
  ways.push(...realCalls());
  const results = await contest(ways.map(({ contestant }) => contestant));
  const byName = new Map(results.map((result) => [result.name, result]));
  table("one call", ways.map((way) => row(byName, way)));
}
