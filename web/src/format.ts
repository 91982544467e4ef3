/** How numbers, times and names are written, everywhere the same. */

const LANGUAGE = 'en-GB';
/** A true minus sign is as wide as a digit. */
const minus = (text: string) => text.replace('-', '−');

/** A decimal of the API, which comes as a string. */
export const number = (decimal: string | null | undefined): number | undefined =>
  decimal === null || decimal === undefined ? undefined : Number(decimal);

/** A log return as the simple return people think in. */
export const simple = (logReturn: number) => Math.expm1(logReturn);

export function percent(share: number | undefined, digits = 1, signed = false): string {
  if (share === undefined || !Number.isFinite(share)) return '–';
  const text = Math.abs(share * 100).toLocaleString(LANGUAGE, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  const zero = Number(text.replaceAll(',', '')) === 0;
  const sign = zero ? '' : share < 0 ? '−' : signed ? '+' : '';
  return `${sign}${text}\u202f%`;
}

/** A log return in percent, with its sign. */
export const move = (logReturn: string | number | null | undefined, digits = 2): string => {
  if (logReturn === null || logReturn === undefined) return '–';
  return percent(simple(Number(logReturn)), digits, true);
};

export const price = (amount: string | number | null | undefined): string =>
  amount === null || amount === undefined
    ? '–'
    : Number(amount).toLocaleString(LANGUAGE, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const count = (whole: number | null | undefined): string =>
  whole === null || whole === undefined ? '–' : minus(whole.toLocaleString(LANGUAGE));

/** Four significant digits: errors of returns are small numbers. */
export const measure = (value: string | number | null | undefined): string =>
  value === null || value === undefined
    ? '–'
    : minus(Number(value).toLocaleString(LANGUAGE, { minimumSignificantDigits: 4, maximumSignificantDigits: 4 }));

/** A number with its sign. */
export const signed = (value: number, digits: number): string => {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : `${value < 0 ? '−' : '+'}${text}`;
};

/** Whether a record's verdict is one or the other, and not that nothing can be said. */
export const isTold = ({ verdict }: { verdict: string }): boolean => verdict === 'better' || verdict === 'worse';

/** A number beside an axis: as short as it can be. */
export const axis = (value: number): string => minus(String(Number(value.toPrecision(3))));

/** Whether a log return is up or down at the digits it is shown with: the name of a class. */
export const tone = (logReturn: string | number | null | undefined): string => {
  const shown = Math.round(simple(Number(logReturn ?? 0)) * 10_000);
  return shown > 0 ? 'up' : shown < 0 ? 'down' : '';
};

/** Words of the service as a sentence, with true minus signs. */
export const sentence = (words: string): string =>
  words.charAt(0).toUpperCase() + words.slice(1).replace(/-(?=\d)/g, '−') + (words.endsWith('.') ? '' : '.');

export const bytes = (size: number): string =>
  size < 1024
    ? `${size} B`
    : size < 1_048_576
      ? `${(size / 1024).toFixed(1)} kB`
      : `${(size / 1_048_576).toFixed(1)} MB`;

const DAY = new Intl.DateTimeFormat(LANGUAGE, { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' });
const WEEKDAY = new Intl.DateTimeFormat(LANGUAGE, {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  timeZone: 'UTC',
});
const MOMENT = new Intl.DateTimeFormat(LANGUAGE, {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  timeZone: 'UTC',
});

/** A session such as 12 Mar 2025. */
export const day = (session: string | null | undefined): string => (session ? DAY.format(new Date(session)) : '–');

/** A session such as Wed 12 Mar, where the year is plain from its neighbours. */
export const weekday = (session: string): string => WEEKDAY.format(new Date(session)).replace(',', '');

/** A moment in the service's time, in UTC. */
export const moment = (time: string | null | undefined): string =>
  time ? `${MOMENT.format(new Date(time))} UTC` : '–';

/** A span of time, in the unit people would say it in. */
export const duration = (ms: number): string =>
  ms < 1_000
    ? `${ms} ms`
    : ms < 120_000
      ? `${Math.round(ms / 1_000)} s`
      : ms < 7_200_000
        ? `${Math.round(ms / 60_000)} min`
        : `${Math.round(ms / 3_600_000)} h`;

export const sessions = (horizon: number): string => (horizon === 1 ? '1 session' : `${horizon} sessions`);

/** "1, 5 and 20". */
export const listed = (parts: string[]): string =>
  new Intl.ListFormat(LANGUAGE, { type: 'conjunction' }).format(parts);

/** The first digits of a digest or an id. */
export const short = (digest: string): string => digest.replace(/^sha256:/, '').slice(0, 10);

/** `prediction_published`, `PredictionPublished` or `prediction-published` as words. */
export const words = (name: string): string => {
  const spaced = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .replace(/[_.-]+/g, ' ')
    .toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
};

/** What a model is made as: its family and the features it looks at. */
export const make = ({ family, feature_set: set = 'core' }: { family: string; feature_set?: string }): string =>
  `${words(family)}, ${set} features`;
