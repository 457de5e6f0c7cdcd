// Add behind the runtime's own HTTP server, which serves what a module exports: see ../lane/http.ts.
import process from "node:process";
import { pinTo } from "../lane/cores.ts";
import { openAdd } from "../lane/http.ts";

const add = await openAdd(process.env.BENCH_MODEL!);

export default {
  hostname: "127.0.0.1", // these two for Bun; Deno is told by its command line
  port: 0,
  async fetch(request: Request): Promise<Response> {
    if (request.method === "GET") return Response.json(pinTo(new URL(request.url).search.slice(1)));
    return new Response(add(new Uint8Array(await request.arrayBuffer())));
  },
};
