import * as accounts from '../api/account';
import { whenSignedOut } from '../api/client';
import { Problem } from '../api/problem';
import type { Account } from '../api/schemas';

const HINT = 'almanac.signed-in';

/** Who is signed in. The cookie itself is out of reach of scripts; a hint saves asking in vain. */
class Session {
  account = $state.raw<Account>();
  /** Whether it is known yet who is signed in. */
  known = $state(false);

  async restore() {
    if (localStorage.getItem(HINT)) {
      try {
        this.#enter((await accounts.currentSession()).account);
      } catch (thrown) {
        if (thrown instanceof Problem && thrown.status === 401) this.leave();
      }
    }
    this.known = true;
  }

  async signIn(email: string, password: string) {
    this.#enter((await accounts.signIn(email, password)).account);
  }

  async register(email: string, password: string) {
    this.#enter((await accounts.register(email, password)).account);
  }

  async signOut() {
    await accounts.signOut();
    this.leave();
  }

  async setSessionMail(on: boolean) {
    await accounts.setSessionMail(on);
    if (this.account) this.account = { ...this.account, session_mail: on };
  }

  async erase(password: string) {
    await accounts.eraseAccount(password);
    this.leave();
  }

  leave() {
    localStorage.removeItem(HINT);
    this.account = undefined;
  }

  #enter(account: Account) {
    localStorage.setItem(HINT, '1');
    this.account = account;
    this.known = true;
  }
}

export const session = new Session();

whenSignedOut(() => session.leave());
