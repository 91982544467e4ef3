import { Problem } from '../api/problem';

/** Something read from the service: the last good answer stays visible while a newer one is on its way. */
export class Resource<T> {
  data = $state.raw<T>();
  problem = $state.raw<Problem>();
  loading = $state(true);
  #read: () => Promise<T>;
  #turn = 0;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** Reads again; an answer that was overtaken by a later one is dropped. */
  load = async () => {
    const turn = ++this.#turn;
    this.loading = true;
    try {
      const data = await this.#read();
      if (turn === this.#turn) {
        this.data = data;
        this.problem = undefined;
      }
    } catch (thrown) {
      if (turn === this.#turn) this.problem = Problem.from(thrown);
    } finally {
      if (turn === this.#turn) this.loading = false;
    }
  };
}

/**
 * Reads whenever something changes that `read` looks at before its first await.
 *
 * To be called while a component is set up.
 */
export function resource<T>(read: () => Promise<T>): Resource<T> {
  const made = new Resource(read);
  $effect(() => {
    void made.load();
  });
  return made;
}
