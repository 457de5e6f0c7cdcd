/**
 * Works on many inputs, some of them at once, and gives the results in the order of the inputs.
 *
 * @param most at once
 * @param work must stop when its signal aborts
 */
export async function* streamInOrder<I, O extends Disposable>(
  inputs: AsyncIterable<I> | Iterable<I>,
  most: number,
  work: (input: I, signal: AbortSignal) => Promise<O>,
  signal: AbortSignal | undefined,
): AsyncGenerator<O, void, undefined> {
  const stop = new AbortController(), flight: Promise<O>[] = [];
  const all = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const source = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
  let next: Promise<IteratorResult<I>> | undefined, isOver = false;
  const { promise: aborted, reject } = Promise.withResolvers<never>(), abort = (): void => reject(all.reason);
  aborted.catch(() => {});
  all.addEventListener("abort", abort);
  try {
    for (;;) {
      all.throwIfAborted();
      if (!isOver && flight.length < most) next ??= Promise.resolve(source.next());
      const first = flight[0];
      if (next === undefined && first === undefined) return;
      const candidates = [first?.then(() => "result" as const), next?.then(() => "input" as const)];
      const came = await Promise.race([...candidates.filter((candidate) => candidate !== undefined), aborted]);
      if (came === "result") {
        yield await flight.shift()!;
        continue;
      }
      const { done, value } = await next!;
      next = undefined;
      if (done) isOver = true;
      else {
        const result = work(value, all);
        result.catch(() => {}); // it is awaited in its turn
        flight.push(result);
      }
    }
  } finally {
    all.removeEventListener("abort", abort);
    stop.abort();
    for (const result of flight) result.then((unwanted) => unwanted[Symbol.dispose](), () => {});
    const returned = isOver ? undefined : source.return?.();
    if (next === undefined) await returned; // a source that is asked for more ends when it has that
    else Promise.resolve(returned).catch(() => {});
  }
}
