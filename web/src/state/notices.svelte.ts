import { Problem } from '../api/problem';

const SHOWN_MS = 6_000;

export interface Notice {
  id: number;
  text: string;
  bad: boolean;
}

/** Short messages about what was just done, shown for a while and read out. */
class Notices {
  items = $state<Notice[]>([]);
  #count = 0;

  say(text: string, bad = false) {
    const id = ++this.#count;
    this.items.push({ id, text, bad });
    setTimeout(() => this.dismiss(id), SHOWN_MS);
  }

  dismiss(id: number) {
    this.items = this.items.filter((notice) => notice.id !== id);
  }

  /** Does something and says how it went; gives whether it went well. */
  async report(deed: () => Promise<unknown>, done: string): Promise<boolean> {
    try {
      await deed();
      if (done) this.say(done);
      return true;
    } catch (thrown) {
      const problem = Problem.from(thrown);
      this.say(problem.detail || problem.title, true);
      return false;
    }
  }
}

export const notices = new Notices();
