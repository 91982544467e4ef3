import type { Forecast, Prediction } from './api/schemas';

/** The log return at a level of the predicted distribution, between the published quantiles by a straight line. */
export function quantileAt(forecast: Forecast, level: number): number | undefined {
  const points = forecast.quantiles.map((quantile) => ({
    level: Number(quantile.level),
    value: Number(quantile.value),
  }));
  const above = points.findIndex((point) => point.level >= level - 1e-9);
  const high = points[above];
  if (!high) return undefined;
  if (Math.abs(high.level - level) < 1e-9) return high.value;
  const low = points[above - 1];
  if (!low) return undefined;
  return low.value + ((level - low.level) / (high.level - low.level)) * (high.value - low.value);
}

/** The price that a log return from `close` leads to. */
export const priceAt = (close: string | number, logReturn: number) => Number(close) * Math.exp(logReturn);

/** The lower and upper end of the central interval that holds the return with this probability. */
export function interval(forecast: Forecast, coverage: 0.5 | 0.8 | 0.95): { low: number; high: number } | undefined {
  if (coverage !== 0.5) {
    const published = coverage === 0.8 ? forecast.interval_80 : forecast.interval_95;
    return { low: Number(published.low), high: Number(published.high) };
  }
  const low = quantileAt(forecast, 0.25);
  const high = quantileAt(forecast, 0.75);
  return low === undefined || high === undefined ? undefined : { low, high };
}

/** The session the newest of them were made after. */
export const newest = (predictions: Prediction[]): string =>
  predictions.reduce((latest, { as_of }) => (as_of > latest ? as_of : latest), '');

/** The largest move that any 80% interval reaches: one scale for bars that are to be compared. */
export function reach(predictions: Prediction[]): number {
  const ends = predictions.flatMap(({ forecast, realised }) =>
    forecast ? [forecast.interval_80.low, forecast.interval_80.high, realised ?? '0'] : [],
  );
  return Math.max(0.005, ...ends.map((end) => Math.abs(Number(end))));
}

/** Why no prediction was made, in words. */
export const ABSTENTIONS: { [reason: string]: string } = {
  stale_data: 'no bar at the as-of session',
  too_little_history: 'too little history for its features',
  unresolved_split: 'a jump looks like a split nobody has recorded',
  out_of_range: 'a feature lies far outside what the version was trained on',
  not_finite: 'a number that must be finite is not',
  expired_model: 'the version is too old for the session',
};
