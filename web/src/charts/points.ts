import type { Prediction } from '../api/schemas';
import { interval, priceAt } from '../forecast';
import type { FanPoint } from './fan';

const COVERAGES = [0.95, 0.8, 0.5] as const;

/** The fan of one instrument's predictions of one session, nearest target first. */
export function fanPoints(predictions: Prediction[]): FanPoint[] {
  const made = predictions
    .flatMap(({ forecast, target, horizon, as_of }) => (forecast ? [{ forecast, target, horizon, as_of }] : []))
    .sort((one, other) => one.horizon - other.horizon);
  const first = made[0];
  if (!first) return [];
  const close = Number(first.forecast.close);
  const start = { session: first.as_of, middle: close, bands: COVERAGES.map(() => ({ low: close, high: close })) };
  const ahead = made.map(({ forecast, target }) => ({
    session: target,
    middle: priceAt(forecast.close, Number(forecast.expected)),
    bands: COVERAGES.flatMap((coverage) => {
      const ends = interval(forecast, coverage);
      return ends ? [{ low: priceAt(forecast.close, ends.low), high: priceAt(forecast.close, ends.high) }] : [];
    }),
  }));
  return [start, ...ahead];
}
