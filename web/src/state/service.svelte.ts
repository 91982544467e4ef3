import { status } from '../api/admin';
import type { Status } from '../api/schemas';

const QUIET_MS = 30_000;
const QUICK_MS = 3_000;

/** What the service says of itself: its mode, its clock, how far it has got. Asked again and again. */
class Service {
  status = $state.raw<Status>();
  reachable = $state(true);

  /** Changes when a session has been ingested: pages that read it read themselves anew. */
  session = $derived(this.status?.last_session ?? null);

  /** Asks now and from then on, more often where time runs faster. Gives the way to stop. */
  watch(): () => void {
    let timer: ReturnType<typeof setTimeout>;
    const ask = async () => {
      if (!document.hidden) await this.ask();
      timer = setTimeout(ask, this.status?.mode === 'live' ? QUIET_MS : QUICK_MS);
    };
    void ask();
    return () => clearTimeout(timer);
  }

  async ask() {
    try {
      this.status = await status();
      this.reachable = true;
    } catch {
      this.reachable = false;
    }
  }
}

export const service = new Service();
