import type { WorkerError } from "../../errors.ts";
import type { Service } from "../connection.ts";
import { openLocalLane } from "../local_lane.ts";
import type { Statistics } from "../statistics.ts";
import { OipError } from "../../protocol/oip/oip_error.ts";
import { json, nothing } from "./call.ts";
import { ClientRegions } from "./client_regions.ts";
import { HttpFace } from "./http_face.ts";
import type { CompleteHttpOptions } from "./http_options.ts";
import { Inference } from "./inference.ts";
import { Measures } from "./measures.ts";
import { RegionCalls } from "./region_calls.ts";
import { Repository } from "./repository.ts";
import type { Route } from "./routes.ts";
import { ServedCalls } from "./served_calls.ts";
import { ServerDocuments } from "./server_documents.ts";

/** Regions that callers register, at most, and their bytes. */
const MOST_REGIONS = 1024, MOST_REGION_BYTES = 2 ** 40;

/** A worker's face over HTTP. */
export interface Face extends AsyncDisposable {
  /** Where it is reached. */
  readonly endpoint: string;
  /** Whether requests are not answered yet. */
  readonly isBusy: boolean;
  /** Takes no more requests to run. */
  drain(): void;
  /** Fails all that is not answered: a thread of the worker has failed. */
  fail(error: WorkerError): void;
}

/** Serves a worker's models by the Open Inference Protocol. @throws {SystemError} HTTP_ADDRESS @throws as `openLocalLane` */
export async function openFace(service: Service, statistics: Statistics, options: CompleteHttpOptions): Promise<Face> {
  await using resources = new AsyncDisposableStack();
  let face: HttpFace | undefined = undefined;
  const isAlone = (): boolean => face?.inFlight === 1;
  const lane = resources.use(await openLocalLane(service.lanes, service.page.address, isAlone));
  const regions = options.allowClientSharedMemory
    ? resources.use(new ClientRegions({ most: MOST_REGIONS, mostBytes: MOST_REGION_BYTES }))
    : undefined;
  const calls = new ServedCalls(service, lane);
  const opened = resources.use(
    await HttpFace.open(routes(service, statistics, { calls, regions, options }), options),
  );
  face = opened;
  const all = resources.move();
  return {
    endpoint: opened.endpoint,
    get isBusy() {
      return opened.inFlight > 0;
    },
    drain: () => opened.drain(),
    fail: (error) => lane.caller.fail(error),
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  };
}

interface Parts {
  readonly calls: ServedCalls;
  readonly regions: ClientRegions | undefined;
  readonly options: CompleteHttpOptions;
}

function routes(service: Service, statistics: Statistics, { calls, regions, options }: Parts): Route[] {
  const documents = new ServerDocuments(service, options), inference = new Inference(calls, regions);
  const repository = new Repository(service.models, options.allowRepositoryControl);
  const measures = new Measures(service, statistics, regions), shared = new RegionCalls(regions);
  const ofModel = (rest: string, route: Omit<Route, "path">): Route[] =>
    ["", "/versions/:version"].map((version) => ({ ...route, path: `/v2/models/:model${version}${rest}` }));
  const memory = "/v2/systemsharedmemory";
  return [
    { method: "GET", path: "/v2", handler: () => documents.server() },
    { method: "GET", path: "/v2/health/live", isOpen: true, handler: () => documents.live() },
    { method: "GET", path: "/v2/health/ready", isOpen: true, handler: () => documents.ready() },
    ...ofModel("", { method: "GET", handler: (call) => documents.model(call) }),
    ...ofModel("/ready", { method: "GET", isOpen: true, handler: (call) => documents.modelReady(call) }),
    ...ofModel("/config", { method: "GET", handler: (call) => measures.config(call) }),
    ...ofModel("/stats", { method: "GET", handler: (call) => measures.stats(call) }),
    { method: "GET", path: "/v2/models/stats", handler: (call) => measures.stats(call) },
    ...ofModel("/infer", { method: "POST", handler: (call) => inference.infer(call) }),
    { method: "POST", path: "/v2/repository/index", handler: (call) => repository.index(call) },
    { method: "POST", path: "/v2/repository/models/:model/load", handler: (call) => repository.load(call) },
    { method: "POST", path: "/v2/repository/models/:model/unload", handler: (call) => repository.unload(call) },
    { method: "GET", path: `${memory}/status`, handler: (call) => shared.status(call) },
    { method: "GET", path: `${memory}/region/:region/status`, handler: (call) => shared.status(call) },
    { method: "POST", path: `${memory}/region/:region/register`, handler: (call) => shared.register(call) },
    ...ofDevices(),
    { method: "POST", path: `${memory}/unregister`, handler: (call) => shared.unregister(call) },
    { method: "POST", path: `${memory}/region/:region/unregister`, handler: (call) => shared.unregister(call) },
    { method: "GET", path: "/metrics", handler: () => measures.metrics() },
    { method: "GET", path: "/v2/coload/status", handler: () => documents.status() },
  ];
}

/** Memory of devices: there is none of it, so nothing is registered, and all of that is forgotten. */
function ofDevices(): Route[] {
  const memory = "/v2/cudasharedmemory",
    refuse = (): never => {
      throw new OipError(501, "Memory of devices is not served here");
    };
  return [
    { method: "GET", path: `${memory}/status`, handler: () => json([]) },
    { method: "POST", path: `${memory}/unregister`, handler: () => nothing() },
    { method: "POST", path: `${memory}/region/:region/unregister`, handler: () => nothing() },
    { method: "POST", path: `${memory}/region/:region/register`, handler: refuse },
  ];
}
