import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { functionPointer, libc } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { asynchronousCalls, callNative, holdEventLoop, onWake, wake } from "../../ffi/process/calls.ts";
import { owner } from "../../ffi/process/owner.ts";
import { ensureThreads, LANES } from "../../ffi/process/pool.ts";
import { mapMemory, unmapMemory } from "../../ffi/native_memory.ts";
import { runChild } from "../support/child.ts";

const CHILD = new URL("./children/pool.ts", import.meta.url);

for (const lane of LANES) ensureThreads(lane, 2);
const abs = functionPointer("labs"), usleep = functionPointer("usleep");

describe("callNative", () => {
  it("runs on native threads here", () => {
    assert.equal(asynchronousCalls(), "native");
  });

  it("resolves with the function's result", async () => {
    assert.equal(await callNative("run", abs, [5n]), 5n);
    assert.equal(await callNative("run", ffi.address(abs), [BigInt.asUintN(64, -5n)]), 5n);
  });

  it("passes eight arguments", async () => {
    const memory = mapMemory(4096), text = new Uint8Array(ffi.view(memory.pointer, 64));
    text.set(new TextEncoder().encode("%d%d%d%d%d\0"), 32);
    const { address } = memory, numbers = [1n, 2n, 3n, 4n, 5n];
    const length = await callNative("run", functionPointer("snprintf"), [address, 32n, address + 32n, ...numbers]);
    assert.deepEqual([length & 0xffffffffn, ffi.string(memory.pointer)], [5n, "12345"]);
    unmapMemory(memory);
  });

  it("1,000 times at once, beyond what the pool takes, each with its own result", async () => {
    const results = await Promise.all(Array.from({ length: 1000 }, (_, i) => callNative("run", abs, [BigInt(i)])));
    results.forEach((result, i) => assert.equal(result, BigInt(i)));
  });

  it("leaves the event loop free", async () => {
    let turns = 0, over = false;
    const call = callNative("run", usleep, [50_000n]).then(() => over = true);
    for (; !over; turns++) await setImmediate();
    await call;
    assert.ok(turns > 1);
  });

  it("has lanes of which none waits for another", async () => {
    const order: string[] = [];
    const long = [1, 2, 3, 4].map(() => callNative("load", usleep, [50_000n]).then(() => order.push("load")));
    await callNative("run", abs, [1n]).then(() => order.push("run"));
    await callNative("release", abs, [1n]).then(() => order.push("release"));
    await Promise.all(long);
    assert.deepEqual(order.slice(0, 2), ["run", "release"]);
  });
});

describe("wake", () => {
  it("calls back on the thread whose mailbox it is, which may be this one", async () => {
    const woken = Promise.withResolvers<void>();
    onWake(() => woken.resolve());
    using _ = holdEventLoop();
    wake(owner().index);
    await woken.promise;
    assert.equal(await callNative("run", abs, [3n]), 3n);
  });
});

describe("many wakes", () => {
  it("of a thread that is busy are one message, so that the pool finds room in its mailbox", async () => {
    let calls = 0;
    onWake(() => calls++);
    using _ = holdEventLoop();
    for (let i = 0; i < 1000; i++) wake(owner().index);
    while (calls === 0) await setImmediate();
    assert.equal(await callNative("run", abs, [3n]), 3n);
    assert.equal(calls, 1);
  });
});

describe("a process", () => {
  it("lives as long as calls are pending, and no longer", async () => {
    const { code, stdout, stderr } = await runChild(CHILD, ["pending"]);
    assert.deepEqual([code, stdout], [0, "called\nEND\n"], stderr);
  });

  it("lives while its event loop is held", async () => {
    const { code, stdout, stderr } = await runChild(CHILD, ["hold"]);
    assert.deepEqual([code, stdout], [0, "let go\nEND\n"], stderr);
  });

  it("may exit in the middle of calls", async () => {
    const { code, stdout, stderr } = await runChild(CHILD, ["exit"]);
    assert.deepEqual([code, stdout], [3, "END\n"], stderr);
  });
});

describe("the C library", () => {
  it("is asked for nothing that is not there", () => {
    assert.throws(() => functionPointer("no_such_function"), /no_such_function/);
    assert.equal(libc().dlsym(null, new TextEncoder().encode("no_such_function\0")), null);
  });
});
