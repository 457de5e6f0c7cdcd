import { OwnedMemory } from "../../ffi/owned_memory.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import type { WorkerError } from "../errors.ts";
import { PAGE_BYTE_LENGTH } from "../protocol/lane_layout.ts";
import { models as registry } from "../registry/model_registry.ts";
import { Attendant } from "./attendant.ts";
import { Board } from "./board/board.ts";
import { BOARD_BYTE_LENGTH, MOST_EXECUTORS } from "./board/layout.ts";
import { Executors, type Unproven } from "./executors.ts";
import { Lanes } from "./lanes.ts";
import type { CompleteConfig } from "./model_config.ts";
import { ServedModels } from "./served_models.ts";
import { SharedPages } from "./shared_pages.ts";
import type { SocketClaim } from "./socket_claim.ts";
import { Statistics, STATISTICS_BYTE_LENGTH } from "./statistics.ts";

/** The parts of a worker. */
export interface WorkerParts {
  readonly page: SharedPages;
  readonly board: Board;
  readonly statistics: Statistics;
  readonly executors: Executors;
  readonly lanes: Lanes;
  readonly models: ServedModels;
  readonly claim: SocketClaim;
  readonly failed: Promise<WorkerError>;
}

/** Makes the parts of a worker, each disposed of before those that it needs. */
export async function makeParts(
  configs: ReadonlyMap<string, CompleteConfig>,
  claim: SocketClaim,
  count: number,
  resources: AsyncDisposableStack,
): Promise<WorkerParts> {
  resources.defer(async () => void await registry.evictExpired()); // what executors were the last to use
  const page = resources.use(sharedPage()), memory = resources.use(new OwnedMemory(BOARD_BYTE_LENGTH));
  const counted = resources.use(new OwnedMemory(STATISTICS_BYTE_LENGTH));
  const board = new Board(memory.address), statistics = new Statistics(counted.address);
  board.init();
  const failed = Promise.withResolvers<WorkerError>(),
    events = {
      wanted: (model: number) => models.wanted(model), // executors tell of models that they were told of
      unproven: (unproven: Unproven) => void models.prove(unproven),
      failed: failed.resolve,
    };
  const addresses = { board: memory.address, page: page.address, statistics: counted.address };
  const executors = await Executors.start(count, board, addresses, events);
  resources.defer(() => executors.stop());
  const attendant = resources.use(
    new Attendant({ index: MOST_EXECUTORS, executors: count, page: page.address }, board, statistics),
  );
  const lanes = new Lanes(board, executors, attendant);
  resources.defer(() => lanes.closed());
  const isIdle = (model: number): boolean => board.queues.queued(model) === 0 && board.runs.busy(model, count) === 0;
  const models = new ServedModels(configs, executors, attendant, (model) => statistics.of(model).lastAt, isIdle);
  resources.defer(() => models.close());
  return { page, board, statistics, executors, lanes, models, claim, failed: failed.promise };
}

/** The page that clients map; this process's own memory where it cannot be passed. */
function sharedPage(): SharedPages {
  try {
    return SharedPages.shared("coload-worker", PAGE_BYTE_LENGTH);
  } catch (error) {
    if (error instanceof SystemFailure) return SharedPages.own(PAGE_BYTE_LENGTH);
    throw error;
  }
}
