/**
 * Members that come and go. A `Set` would do, but for collectors of generations: each table that a `Set` has outgrown
 * leads to the next one, so that once one of them is old, all that ever was in a later one lives until the next full
 * collection.
 */
export class Crowd<T> {
  readonly #members: (T | undefined)[] = [];
  readonly #free: number[] = [];

  /** How many there are. */
  get size(): number {
    return this.#members.length - this.#free.length;
  }

  /** Takes a member up that is not there yet, until the returned function is called. */
  add(member: T): () => void {
    const place = this.#free.pop() ?? this.#members.length;
    this.#members[place] = member;
    return () => {
      if (this.#members[place] !== member) return;
      this.#members[place] = undefined;
      this.#free.push(place);
    };
  }

  /** Calls back for each member; what is called may let it go. */
  forEach(each: (member: T) => void): void {
    for (const member of this.#members) if (member !== undefined) each(member);
  }
}
