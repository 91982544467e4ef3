import type { Trial } from './api/schemas';
import { listed, percent, sessions } from './format';

const LOSSES: { [loss: string]: string } = {
  'mean-pinball-per-root-session-1': 'the mean pinball loss of the whole distribution',
};

/** "1, 5 and 20 sessions"; the longest comes last. */
const spans = (horizons: number[]): string =>
  listed([...horizons.slice(0, -1).map(String), sessions(horizons.at(-1) ?? 1)]);

/** The rule of a trial as somebody would say it. */
export function rule({ rule: fixed, version, champion }: Trial): string {
  const loss = LOSSES[fixed.loss] ?? fixed.loss;
  const win = fixed.dry_run
    ? 'that is recorded, and nobody is promoted'
    : `v${version} is promoted; otherwise v${champion} stays`;
  return (
    `v${version} and v${champion} are compared by ${loss}, ${spans(fixed.horizons)} ahead, once, on exactly ` +
    `${fixed.decide_after} sessions for which both have come out. If v${version} is better beyond chance ` +
    `(one-sided, at ${percent(Number(fixed.significance), 0)}), ${win}. ` +
    `After ${fixed.latest} sessions it ends in any case.`
  );
}

export const OUTCOMES: { [outcome: string]: { text: string; tone: string } } = {
  promote: { text: 'the challenger won', tone: 'good' },
  keep: { text: 'the champion stays', tone: '' },
  underpowered: { text: 'too little to tell', tone: 'note' },
};
