// The end that is called: see ../lane/ping_pong.ts.
import { pinTo } from "../lane/cores.ts";
import { answerCalls } from "../lane/ping_pong.ts";
import { answer } from "../support/child.ts";

await answer({ pin: pinTo, answerCalls });
