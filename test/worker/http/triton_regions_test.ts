import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import http from "node:http";
import { after, afterEach, before, describe, it } from "node:test";
import { plant, type Planted } from "../../memory/support.ts";
import { add, identity } from "../../support/models.ts";
import { eventually, HeldWorker, inline, statuses } from "./held_worker.ts";
import { type Answer, bytesOf, rawConnection, withBinary } from "./support.ts";

const MEMORY = "/v2/systemsharedmemory";

let served: HeldWorker;
before(async () => {
  const models = { add: add({ shape: ["n"] }), any: identity("float32", ["n"]), text: identity("string", ["n"]) };
  served = await HeldWorker.serve(models, { allowClientSharedMemory: true });
});
after(() => served[Symbol.asyncDispose]());
afterEach(async () => assert.equal((await unregister()).status, 200));

/** A tensor of four floats that lies in a region. */
const shared = (name: string, region: string, offset: unknown = 0, byteSize: unknown = 16) => ({
  name,
  shape: [4],
  datatype: "FP32",
  parameters: { shared_memory_region: region, shared_memory_byte_size: byteSize, shared_memory_offset: offset },
});

/** Floats in shared memory, which a client has. */
function memory(values: readonly number[]): Planted {
  return plant(bytesOf(Float32Array.from(values)));
}

const floatsOf = (file: Planted): number[] => [...new Float32Array(new Uint8Array(readFileSync(file.path)).buffer)];
const register = (name: string, file: Planted, offset = 0, byteSize = statSync(file.path).size - offset) =>
  served.post(`${MEMORY}/region/${name}/register`, { key: `/${file.name}`, offset, byte_size: byteSize });
const unregister = (name?: string) => served.post(`${MEMORY}${name === undefined ? "" : `/region/${name}`}/unregister`);
const registered = async (): Promise<string[]> =>
  (await served.ask(`${MEMORY}/status`)).json.map(({ name }: { name: string }) => name);

const INPUT = [1, 2, 3, 4, 10, 20, 30, 40], SUMS = [11, 22, 33, 44];
const BOTH = [shared("a", "in"), shared("b", "in", 16)];

describe("shared memory of clients over HTTP", () => {
  it("is registered, unregistered and registered again, before and after inferences", async () => {
    using file = memory(INPUT);
    assert.deepEqual(await statuses([unregister("in"), unregister()]), [200, 200]);
    assert.equal((await register("in", file)).status, 200);
    assert.equal((await register("in", file)).status, 400);
    assert.deepEqual((await served.infer("add", { inputs: BOTH })).json.outputs[0].data, SUMS);
    assert.equal((await register("more", file, 4, 8)).status, 200);
    assert.deepEqual(await registered(), ["in", "more"]);
    await unregister("in");
    const { status, json } = await served.infer("add", { inputs: BOTH });
    assert.deepEqual([status, /no shared memory region "in"/.test(json.error)], [404, true]);
    assert.equal((await register("in", file)).status, 200);
    assert.deepEqual((await served.infer("add", { inputs: BOTH })).json.outputs[0].data, SUMS);
    assert.deepEqual([(await unregister()).status, await registered()], [200, []]);
  });

  it("may begin at any byte of its file, and be mixed with inline tensors", async () => {
    using file = plant(new Uint8Array(9000));
    await register("odd", file, 4099, 64);
    const inputs = [inline("a", SUMS), shared("b", "odd", 3)], outputs = [shared("c", "odd", 7)];
    assert.deepEqual((await served.infer("add", { inputs })).json.outputs[0].data, SUMS);
    const { json } = await served.infer("add", { inputs, outputs });
    assert.deepEqual(Object.keys(json.outputs[0]), ["name", "shape", "datatype", "parameters"]);
    const found = new Uint8Array(readFileSync(file.path));
    assert.deepEqual([...new Float32Array(found.slice(4106, 4122).buffer)], SUMS);
    const bytes = { ...inline("a", undefined), parameters: { binary_data_size: 16 } };
    const mixed = withBinary({ inputs: [bytes, shared("b", "odd", 7)] }, bytesOf(Float32Array.from(SUMS)));
    assert.deepEqual((await served.ask("/v2/models/add/infer", mixed)).json.outputs[0].data, [22, 44, 66, 88]);
  });

  it("holds texts, each behind its length", async () => {
    using file = plant(new Uint8Array(Buffer.from("\x02\0\0\0\xc3\xbc\x01\0\0\0\0".padEnd(40, "\0"), "latin1")));
    await register("texts", file);
    const part = (size: number, offset: number) => ({
      parameters: { shared_memory_region: "texts", shared_memory_byte_size: size, shared_memory_offset: offset },
    });
    const inputs = [{ name: "x", shape: [2], datatype: "BYTES", ...part(11, 0) }];
    assert.deepEqual((await served.infer("text", { inputs })).json.outputs[0].data, ["ü", "\0"]);
    assert.equal((await served.infer("text", { inputs, outputs: [{ name: "y", ...part(20, 20) }] })).status, 200);
    const found = readFileSync(file.path);
    assert.deepEqual([...found.subarray(20, 31)], [...found.subarray(0, 11)]);
    const past = [{ name: "x", shape: [2], datatype: "BYTES", ...part(10, 0) }];
    assert.equal((await served.infer("text", { inputs: past })).status, 400);
  });

  it("of a tensor without elements is no bytes of a region", async () => {
    using file = memory(INPUT);
    await register("in", file);
    const none = { ...shared("x", "in", 32, 0), shape: [0] };
    assert.deepEqual((await served.infer("any", { inputs: [none] })).json.outputs[0].data, []);
  });

  const BEYOND: readonly (readonly [what: string, offset: string, byteSize: string])[] = [
    ["an offset at the end", "32", "16"],
    ["an offset a byte too far", "17", "16"],
    ["a size of more than there is", "0", "33"],
    ["a size of less than the tensor's", "0", "15"],
    ["a size of more than the tensor's", "0", "17"],
    ["an offset of 2^53", "9007199254740992", "16"],
    ["an offset of 2^63 - 1", "9223372036854775807", "16"],
    ["an offset of 2^64 - 16, which is -16", "18446744073709551600", "16"],
    ["a size of 2^64 - 16", "32", "18446744073709551600"],
    ["a negative offset", "-16", "16"],
    ["an offset that is no whole number", "0.5", "16"],
    ["an infinite offset", "1e999", "16"],
    ["a size that is text", "0", `"16"`],
  ];
  it("is refused beyond its end, whatever arithmetic makes of it", async () => {
    using file = memory(INPUT);
    await register("in", file);
    for (const [what, offset, byteSize] of BEYOND) {
      const text = (name: string) =>
        `"parameters":{"shared_memory_region":"${name}","shared_memory_offset":${offset},"shared_memory_byte_size":${byteSize}}`;
      const body = (inputs: string, outputs: string) => `{"inputs":[${inputs}],"outputs":[${outputs}]}`;
      const input = `{"name":"x","shape":[4],"datatype":"FP32",${text("in")}}`,
        given = JSON.stringify(inline("x", SUMS));
      assert.equal((await served.infer("any", body(input, `{"name":"y"}`))).status, 400, what);
      if (what === "a size of more than the tensor's") continue; // an output may have room to spare
      assert.equal((await served.infer("any", body(given, `{"name":"y",${text("in")}}`))).status, 400, what);
    }
    assert.deepEqual(floatsOf(file), INPUT);
  });

  it("is refused at registration beyond its file's end, and where its name or key leads elsewhere", async () => {
    using file = memory(INPUT);
    const bodies = BEYOND.filter(([what]) => !/tensor/.test(what)).map(([, offset, size]) =>
      `{"key":"/${file.name}","offset":${offset},"byte_size":${size === "16" && offset === "17" ? 16 : size}}`
    );
    for (const body of bodies) {
      assert.equal((await served.post(`${MEMORY}/region/in/register`, body)).status, 400, body);
    }
    for (const key of ["", "/", "/..", "/../etc/passwd", "a/b", "//x", "/x\0", "/nothing-of-this-name"]) {
      assert.equal((await served.post(`${MEMORY}/region/in/register`, { key, byte_size: 8 })).status, 400, key);
    }
    for (const name of ["a%2Fb", "a%0Ab", "%00", "x".repeat(257)]) {
      assert.equal((await register(name, file)).status, 400, name);
    }
    assert.deepEqual(await registered(), []);
  });

  it("is refused that is named by half, or beside bytes", async () => {
    using file = memory(INPUT);
    await register("in", file);
    const { parameters: whole } = shared("y", "in");
    const halves = [{ shared_memory_region: "in" }, { shared_memory_byte_size: 16 }];
    for (const parameters of [...halves, { ...whole, binary_data_size: 16 }]) {
      const inputs = [{ name: "x", shape: [4], datatype: "FP32", parameters }];
      assert.equal((await served.infer("any", { inputs })).status, 400);
    }
    for (const parameters of [...halves, { ...whole, binary_data: true }]) {
      const outputs = [{ name: "y", parameters }];
      assert.equal((await served.infer("any", { inputs: [inline("x", SUMS)], outputs })).status, 400);
    }
  });

  it("of two clients by one name is the first one's, and the second is told", async () => {
    using mine = memory(INPUT);
    using other = memory([0, 0, 0, 0, 5, 5, 5, 5]);
    const agents = [new http.Agent({ keepAlive: true }), new http.Agent({ keepAlive: true })];
    const asked = [mine, other].map(({ name }, i) =>
      served.ask(`${MEMORY}/region/in/register`, {
        body: JSON.stringify({ key: `/${name}`, byte_size: 32 }),
        agent: agents[i]!,
      })
    );
    assert.deepEqual((await statuses(asked)).toSorted(), [200, 400]);
    const [{ key }] = (await served.ask(`${MEMORY}/region/in/status`)).json;
    const sums = key === `/${mine.name}` ? SUMS : [5, 5, 5, 5];
    assert.deepEqual((await served.infer("add", { inputs: BOTH })).json.outputs[0].data, sums);
    await unregister();
    for (const agent of agents) agent.destroy();
  });
});

describe("shared memory during an inference", () => {
  const request = { inputs: BOTH, outputs: [shared("c", "in", 16)] };

  /** Does something while an inference on a region waits to be run, and returns its answer. */
  async function meanwhile(file: Planted, act: () => unknown): Promise<Answer> {
    await register("in", file);
    using held = await served.hold();
    const answer = served.infer("add", request);
    await served.waiting("add");
    await act();
    held[Symbol.dispose]();
    return await answer;
  }

  it("that is unregistered goes when the inference has ended", async () => {
    using file = memory(INPUT);
    const { status } = await meanwhile(file, async () => {
      assert.deepEqual(await statuses([unregister("in"), unregister()]), [200, 200]);
      assert.deepEqual(await registered(), ["in"]);
      assert.equal((await register("in", file)).status, 400);
    });
    assert.deepEqual([status, floatsOf(file), await registered()], [200, [1, 2, 3, 4, ...SUMS], []]);
    assert.equal((await register("in", file)).status, 200);
  });

  it("that is truncated is an error of that request alone", async () => {
    using file = memory(INPUT);
    const { status } = await meanwhile(file, () => truncateSync(file.path, 16));
    assert.deepEqual([status, statSync(file.path).size], [400, 16]);
    assert.equal((await served.infer("add", { inputs: BOTH })).status, 400);
    truncateSync(file.path, 32);
    assert.deepEqual((await served.infer("add", { inputs: BOTH })).json.outputs[0].data, [1, 2, 3, 4]);
  });

  it("whose name is taken away stays until it is unregistered", async () => {
    using file = memory(INPUT);
    const { status } = await meanwhile(file, () => rmSync(file.path));
    assert.equal(status, 200);
    assert.deepEqual((await served.infer("any", { inputs: [shared("x", "in", 16)] })).json.outputs[0].data, SUMS);
    await unregister();
    assert.equal((await served.post(`${MEMORY}/region/in/register`, { key: file.name, byte_size: 8 })).status, 400);
  });

  it("whose caller goes is let go, too", async () => {
    using file = memory(INPUT);
    await register("in", file);
    using held = await served.hold();
    const { socket, closed } = await rawConnection(served.endpoint), body = JSON.stringify(request);
    socket.write(
      `POST /v2/models/add/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await served.waiting("add");
    await unregister();
    assert.deepEqual(await registered(), ["in"]);
    socket.destroy();
    await closed;
    held[Symbol.dispose]();
    await eventually(async () => (await registered()).length === 0);
    assert.deepEqual(floatsOf(file), INPUT);
  });
});
