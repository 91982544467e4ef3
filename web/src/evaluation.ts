/** What of a stored evaluation is drawn. Parts added since the first versions are missing in theirs. */

export interface Evaluation {
  test_start: string;
  test_end: string;
  horizons: HorizonEvaluation[];
}

export interface HorizonEvaluation {
  horizon: number;
  model: Scores;
  calibration?: Calibration | null;
  placebo?: Placebo | null;
  measures?: Measured[];
}

interface Scores {
  intervals: Interval[];
  distribution: { pit: number[] } | null;
}

interface Interval {
  method: string;
  level: number;
  coverage: number;
  coverage_instrument_p05: number;
  coverage_instrument_p95: number;
  coverage_low_volatility: number;
  coverage_mid_volatility: number;
  coverage_high_volatility: number;
}

/** The share of outcomes inside the published intervals. */
interface Held {
  start: string;
  coverage_80: number;
  coverage_95: number;
}

interface Calibration {
  quarters?: Held[];
  months?: Held[];
}

export interface Placebo {
  skill: PlaceboLine;
  shuffled: PlaceboLine;
  /** Nothing where the history is too short to learn from them. */
  shifted: PlaceboLine | null;
  words: string;
}

export interface PlaceboLine {
  ic: number | null;
  ic_t: number | null;
  r2_vs_drift_pct: number | null;
  hit_rate: number | null;
}

export interface Measured {
  measure: string;
  value: number;
  low: number | null;
  high: number | null;
  against: { baseline: string; verdict: 'better' | 'worse' | 'cannot_be_told'; words: string }[];
}

/** The published intervals of a level. */
export const published = (horizon: HorizonEvaluation, level: number): Interval | undefined =>
  horizon.model.intervals.find((one) => one.method === 'published' && Math.abs(one.level - level) < 1e-9);

/** Coverage by month where there is one, else by quarter. */
export const overTime = ({ calibration }: HorizonEvaluation): Held[] => {
  const months = calibration?.months ?? [];
  return months.length > 1 ? months : (calibration?.quarters ?? []);
};
