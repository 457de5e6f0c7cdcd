// Answers messages over unix sockets: see ../lane/socket.ts.
import { pinTo } from "../lane/cores.ts";
import { answerMessages } from "../lane/socket.ts";
import { answer } from "../support/child.ts";

await answer({ pin: pinTo, answerMessages });
