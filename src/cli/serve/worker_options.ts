import { readFileSync } from "node:fs";
import path from "node:path";
import { typeError } from "../../errors.ts";
import { defaultSocket, socketPath } from "../../protocol/endpoint.ts";
import { completeHttpOptions } from "../../worker/http/http_options.ts";
import { completeConfig, type ModelConfig } from "../../worker/model_config.ts";
import type { WorkerOptions } from "../../worker/worker_options.ts";
import { nameOfPath } from "../../worker/served_models.ts";
import type { Flags } from "./flags.ts";

/** A name before a path. What is before "=" and can be no name is a part of the path. */
const NAMED = /^([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)$/;

const mistake = (message: string): Error => typeError("INVALID_ARGUMENT", message);

/** Options of a worker as a command line says them. @throws {TypeError | RangeError} for those that are wrong */
export function workerOptions(models: readonly string[], flags: Flags): WorkerOptions & { readonly socket: string } {
  const { models: configured, ...config } = flags.config === undefined ? { models: {} } : readConfig(flags.config);
  const found = new Map(Object.entries(configured));
  for (const given of models) {
    const [, name = nameOfPath(given), file = given] = NAMED.exec(given) ?? [];
    if (found.has(name)) throw mistake(`Cannot serve two models as "${name}": name=path names one otherwise`);
    found.set(name, { path: path.resolve(file) });
  }
  if (found.size === 0) throw mistake("No models are named");
  for (const name of [...flags.state?.keys() ?? [], ...flags.versionOf?.keys() ?? []]) {
    if (!found.has(name)) throw mistake(`There is no model "${name}": the models are ${[...found.keys()].join(", ")}`);
  }
  const complete = [...found].map(([name, config]) => [name, withFlags(name, config, flags)] as const);
  for (const [name, config] of complete) completeConfig(name, config);
  return {
    ...config,
    models: Object.fromEntries(complete),
    socket: socketPath(flags.socket ?? config.socket ?? defaultSocket()),
    ...httpOptions(flags, config.http),
    ...(flags.executors !== undefined && { executors: flags.executors }),
    ...(flags.maxMemory !== undefined && { maxMemoryBytes: flags.maxMemory }),
  };
}

/** How HTTP is answered: what the command line says goes before the file. */
function httpOptions(flags: Flags, configured: WorkerOptions["http"]): Pick<WorkerOptions, "http"> {
  const { http, serverName, tokenFile, allowHost, allowOrigin, allowClientShm, allowRepositoryControl, maxBody } =
    flags;
  const given = typeof configured === "string" ? { listen: configured } : configured, listen = http ?? given?.listen;
  const wanted = {
    ...(serverName !== undefined && { serverName }),
    ...(tokenFile !== undefined && { token: readToken(tokenFile) }),
    ...(allowHost !== undefined && { allowedHosts: allowHost }),
    ...(allowOrigin !== undefined && { allowedOrigins: allowOrigin }),
    ...(allowClientShm !== undefined && { allowClientSharedMemory: allowClientShm }),
    ...(allowRepositoryControl !== undefined && { allowRepositoryControl }),
    ...(maxBody !== undefined && { maxBodyBytes: maxBody }),
  };
  if (listen === undefined) {
    if (Object.keys(wanted).length > 0) throw mistake("Options of HTTP are of use with --http alone");
    return {};
  }
  const options = { ...given, ...wanted, listen };
  completeHttpOptions(options);
  return { http: options };
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw mistake(`Cannot read the token: ${(error as Error).message}`);
  }
}

/** How a model is served: what the command line says, it says of all. */
function withFlags(name: string, config: ModelConfig, flags: Flags): ModelConfig {
  const { maxBatch, queueDelay, queueSize, queueTimeout, ttl, shareWeights, warmup } = flags;
  const state = flags.state?.get(name), version = flags.versionOf?.get(name);
  return {
    ...config,
    ...(maxBatch !== undefined && { maxBatchSize: maxBatch }),
    ...(queueDelay !== undefined && { maxQueueDelayMs: queueDelay }),
    ...(queueSize !== undefined && { maxQueueSize: queueSize }),
    ...(queueTimeout !== undefined && { queueTimeoutMs: queueTimeout }),
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(!warmup && { warmup }),
    ...(state !== undefined && { state }),
    ...(version !== undefined && { version }),
    ...(shareWeights !== undefined && { session: { ...config.session, shareWeights } }),
  };
}

/** Reads a worker's options. Paths in it are those of the file's folder. */
function readConfig(file: string): WorkerOptions & { readonly models: Readonly<Record<string, ModelConfig>> } {
  const config = parse(file), folder = path.dirname(path.resolve(file));
  if (!isObject(config) || !isObject(config.models ?? {})) {
    throw mistake(`Cannot use ${file}: an object with models, { "models": { "name": "path" } }, wanted`);
  }
  const { models = {}, socket, ...others } = config;
  const located = Object.entries(models as Record<string, unknown>).map(([name, given]) => {
    const config = typeof given === "string" ? { path: given } : given;
    if (!isObject(config) || typeof config.path !== "string" || config.path === "") {
      throw mistake(`Cannot use ${file}: a path wanted of model "${name}"`);
    }
    return [name, { ...config, path: path.resolve(folder, config.path) }];
  });
  if (socket !== undefined && typeof socket !== "string") throw mistake(`Cannot use ${file}: the socket's path wanted`);
  return {
    ...others,
    models: Object.fromEntries(located),
    ...(socket !== undefined && { socket: path.resolve(folder, socket) }),
  };
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw mistake(`Cannot read ${file}: ${(error as Error).message}`);
  }
}

function isObject(found: unknown): found is Record<string, unknown> {
  return typeof found === "object" && found !== null && !Array.isArray(found);
}
