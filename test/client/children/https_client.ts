// Asks a server for 1 + 2 by HTTPS, and prints the sum, or as JSON what it failed with: `https_client.ts ENDPOINT`.
import process from "node:process";
import { ModelClient } from "../../../src/client/mod.ts";
import { floats } from "../../support/sessions.ts";

try {
  await using client = await ModelClient.connect(process.argv[2]!);
  const { c } = await client.infer("add", { a: floats([1, 1]), b: floats([2, 2]) });
  console.log([...c!.as("float32").data].join());
} catch (error) {
  const { code, message } = error as Error & { code?: string };
  console.log(JSON.stringify({ code, message }));
}
